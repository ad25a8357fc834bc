"""Measurements that anyone can repeat: each module says how, and results/ has the results."""

import os

FLAGS = os.environ.get("XLA_FLAGS")  # read before mlplab adds its own, which peers must not get

import mlplab  # noqa: E402, F401  chooses the backend before a benchmark imports Keras
