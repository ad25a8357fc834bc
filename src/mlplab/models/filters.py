"""What the first trained layer of a network looks for, as pictures."""

from math import prod

import jax
import keras

Filters = tuple[jax.Array, tuple[int, int, int]]


def first_filters(model: keras.Model) -> Filters | None:
    """Return the weights of the first trained dense layer in the space of its input pixels.

    A frozen dense layer in between, such as a whitening, is multiplied in, so that what a unit
    looks for is still a picture.

    Returns:
        The weights, float32 [height * width * channels, units], and (height, width, channels); or
        ``None`` if the first trained layer is not dense or does not see a flattened image.
    """
    shape: tuple[int, int, int] | None = None
    before: jax.Array | None = None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            shape = tuple(layer.input.shape[1:])
        elif isinstance(layer, keras.layers.Dense):
            kernel = layer.kernel.value
            if before is not None:
                kernel = before @ kernel
            if layer.trainable:
                fits = shape is not None and kernel.shape[0] == prod(shape)
                return (kernel, shape) if shape is not None and fits else None
            before = kernel
        elif layer.trainable_variables:
            return None
    return None
