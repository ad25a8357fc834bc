"""Measurements that anybody can repeat; each module says how, results/ has what came out."""

import mlplab  # noqa: F401  chooses the backend before a benchmark imports Keras
