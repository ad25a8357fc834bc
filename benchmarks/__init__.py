"""Measurements that anybody can repeat; see docs/benchmarks.md."""

import mlplab  # noqa: F401  chooses the backend before a benchmark imports Keras
