"""Augmentation of batches of training images, inside the compiled step."""
