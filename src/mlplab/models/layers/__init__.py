"""Keras's layers in the forms that processors are fast at."""
