"""Runs: their records, files and folders."""
