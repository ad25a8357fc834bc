"""The cost of one image's forward pass."""

from math import prod

import keras


def flops_per_example(model: keras.Model) -> int:
    """Return the floating-point operations of one image's forward pass.

    Each weight of a layer is used once for every position of its output (one position in dense
    layers), in a multiplication and an addition. Activations and scaling are left out, and a layer
    that is called several times counts once.
    """
    return sum(
        2 * layer.count_params() * positions_of(layer)
        for layer in model._flatten_layers(include_self=False, recursive=True)
        if layer.count_params() and not layer._layers
    )


def positions_of(layer: keras.layers.Layer) -> int:
    """Return how many positions a layer's result has in one image: 1 after a dense layer."""
    if not isinstance(layer, keras.layers.Layer) or not layer._inbound_nodes:
        return 1  # inside a subclassed model, for which Keras keeps no shapes
    shape = layer._inbound_nodes[0].output_tensors[0].shape
    return prod(size or 1 for size in shape[1:-1])
