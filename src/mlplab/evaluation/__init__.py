"""How good a trained network is, and why."""
