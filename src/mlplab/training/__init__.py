"""Training: the engine, callbacks, TensorBoard and evaluation."""
