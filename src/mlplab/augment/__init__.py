"""Augmentation: what a batch of training images becomes, inside the compiled step."""
