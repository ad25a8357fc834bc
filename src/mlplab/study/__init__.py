"""Many runs by design: which is better, and is it luck?"""
