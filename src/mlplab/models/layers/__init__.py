"""Faster implementations of Keras's layers."""
