"""Experiments: where data, network, engine and judgement meet."""
