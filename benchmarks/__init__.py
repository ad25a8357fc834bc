"""Measurements that anybody can repeat; each module says how, results/ has what came out."""

import os

FLAGS = os.environ.get("XLA_FLAGS")  # as they were: what mlplab adds is not for its peers

import mlplab  # noqa: E402, F401  chooses the backend before a benchmark imports Keras
