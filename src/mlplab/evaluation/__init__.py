"""What a trained network is worth, and why."""
