"""Runs: a run's facts, its folder, and the one function that trains."""
