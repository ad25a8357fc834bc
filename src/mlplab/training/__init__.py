"""Training: the engine, its losses, teachers, callbacks and checkpoints."""
