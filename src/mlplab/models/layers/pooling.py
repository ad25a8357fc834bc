"""Pooling that is fast on a CPU.

XLA's CPU backend processes one window at a time; whole strided slices take a third of the time.
"""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
import keras


@keras.saving.register_keras_serializable(package="mlplab")
class AveragePooling2D(keras.layers.AveragePooling2D):  # type: ignore[misc]
    """``keras.layers.AveragePooling2D`` over adjacent squares: no strides, no padding."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the mean of each square, float32 [n, height // side, width // side, channels]."""
        side: int = self.pool_size[0]
        return _over_squares(jnp.add, inputs.astype(jnp.float32), side) / side**2


@keras.saving.register_keras_serializable(package="mlplab")
class MaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """``keras.layers.MaxPooling2D`` over adjacent squares: no strides, no padding."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the maximum of each square [n, height // side, width // side, channels]."""
        return _over_squares(jnp.maximum, inputs, self.pool_size[0])


def can_replace(layer: keras.layers.AveragePooling2D | keras.layers.MaxPooling2D) -> bool:
    """Return whether a class of this file computes the same as a Keras layer."""
    touching = layer.pool_size == layer.strides and len(set(layer.pool_size)) == 1
    return touching and layer.padding == "valid" and layer.data_format == "channels_last"


def _over_squares(join: Callable[..., jax.Array], images: jax.Array, side: int) -> jax.Array:
    height, width = (length // side * side for length in images.shape[1:3])
    in_rows = reduce(join, [images[:, start:height:side] for start in range(side)])
    return reduce(join, [in_rows[:, :, start:width:side] for start in range(side)])
