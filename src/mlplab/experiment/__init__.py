"""Experiments: data, network, training, evaluation and record put together."""
