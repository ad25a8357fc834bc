"""Plain Keras: a run as a program that needs no mlplab, and a Keras model as a recipe."""
