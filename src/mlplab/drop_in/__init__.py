"""Keras's own ``fit`` with mlplab's compiled steps: the first of the two doors from Keras."""
