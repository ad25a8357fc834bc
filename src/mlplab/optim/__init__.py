"""Settings of a recipe to Keras's optimizers and learning-rate schedules."""
