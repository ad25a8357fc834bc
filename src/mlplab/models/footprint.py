"""How many images a network evaluates at a time."""

from math import prod

import keras

MOST = 1000  # images: large enough for the matrix rate
LIMIT = 2**31
"""Bytes of activations; for images of 32×32 no shipped network's come near it."""
NUMBER = 4  # bytes of a float32
COPIES = 3  # of the largest activations: an operation's input and output, and one between them


def evaluation_batch(model: keras.Model) -> int:
    """Return how many images a network evaluates at a time, so that memory bounds it.

    It depends on the network and the size of its images alone, not on the memory that is free:
    sums are rounded the same on every machine.
    """
    layers = model._flatten_layers(include_self=False, recursive=True)
    largest = max([_numbers(tensor) for tensor in model.inputs or ()], default=1)
    largest = max([largest, *map(_output, layers)])
    return max(1, min(MOST, LIMIT // (COPIES * NUMBER * largest)))


def _output(layer: keras.layers.Layer) -> int:
    if not isinstance(layer, keras.layers.Layer) or not layer._inbound_nodes:
        return 1  # inside a subclassed model, for which Keras keeps no shapes
    return max(_numbers(tensor) for tensor in layer._inbound_nodes[0].output_tensors)


def _numbers(tensor: keras.KerasTensor) -> int:
    return prod(size or 1 for size in tensor.shape[1:])
