"""Pooling that is fast on a CPU.

XLA's CPU backend processes one window at a time; whole strided slices take a third of the time. Of
strided slices, however, the gradients are sums of arrays that are mostly zeros: here each position
of the images gets its share in one pass instead.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
import keras

from mlplab.models.native import calls, library


@keras.saving.register_keras_serializable(package="mlplab")
class AveragePooling2D(keras.layers.AveragePooling2D):  # type: ignore[misc]
    """``keras.layers.AveragePooling2D`` over adjacent squares: no strides, no padding."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the mean of each square, float32 [n, height // side, width // side, channels]."""
        return mean(inputs.astype(jnp.float32), self.pool_size[0])


@keras.saving.register_keras_serializable(package="mlplab")
class MaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """``keras.layers.MaxPooling2D`` over adjacent squares: no strides, no padding."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the maximum of each square [n, height // side, width // side, channels]."""
        return maximum(inputs, self.pool_size[0])


def can_replace(layer: keras.layers.AveragePooling2D | keras.layers.MaxPooling2D) -> bool:
    """Return whether a class of this file computes the same as a Keras layer."""
    touching = layer.pool_size == layer.strides and len(set(layer.pool_size)) == 1
    return touching and layer.padding == "valid" and layer.data_format == "channels_last"


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def mean(images: jax.Array, side: int) -> jax.Array:
    """Return the mean of each square of images [n, height, width, channels]."""
    return over_squares(jnp.add, images, side) / side**2


def _mean_forward(images: jax.Array, side: int) -> tuple[jax.Array, jax.Array]:
    return mean(images, side), images


def _mean_backward(side: int, images: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (_placed(_spread(gradient / side**2, side), images),)


mean.defvjp(_mean_forward, _mean_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def maximum(images: jax.Array, side: int) -> jax.Array:
    """Return the maximum of each square of images [n, height, width, channels].

    Positions that share a maximum share its gradient.
    """
    if _in_cpp(images):
        return calls.maximum(images, side)
    return over_squares(jnp.maximum, images, side)


def _in_cpp(images: jax.Array) -> bool:
    return images.ndim == 4 and images.dtype == jnp.float32 and library.found()


def _maximum_forward(images: jax.Array, side: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    found = maximum(images, side)
    return found, (images, found)


def _maximum_backward(
    side: int, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array]:
    images, found = kept
    if _in_cpp(images):
        return (calls.maximum_back(images, found, gradient, side),)
    height, width = (side * length for length in found.shape[1:3])
    inner = images[:, :height, :width]
    ties = [
        (inner[:, down::side, right::side] == found).astype(gradient.dtype)
        for down in range(side)
        for right in range(side)
    ]
    share = gradient / reduce(jnp.add, ties)
    chosen = jnp.where(inner == _spread(found, side), _spread(share, side), 0)
    return (_placed(chosen, images),)


maximum.defvjp(_maximum_forward, _maximum_backward)


def _spread(squares: jax.Array, side: int) -> jax.Array:
    """Return images in which each position has the value of its square."""
    n, height, width, channels = squares.shape
    shape = (n, height, side, width, side, channels)
    wide = jnp.broadcast_to(squares[:, :, None, :, None, :], shape)
    return wide.reshape(n, side * height, side * width, channels)


def _placed(inner: jax.Array, images: jax.Array) -> jax.Array:
    """Return an array with zeros below and right of it, where no square reaches."""
    rest = [(0, whole - part) for whole, part in zip(images.shape, inner.shape, strict=True)]
    return jnp.pad(inner, rest)


def over_squares(join: Callable[..., jax.Array], images: jax.Array, side: int) -> jax.Array:
    """Return a function of two arrays over each square of images [n, height, width, channels]."""
    height, width = (length // side * side for length in images.shape[1:3])
    in_rows = reduce(join, [images[:, start:height:side] for start in range(side)])
    return reduce(join, [in_rows[:, :, start:width:side] for start in range(side)])
