"""A depthwise convolution that is fast on a CPU."""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax

from mlplab.models.layers.convolution import Padding, margin, reach
from mlplab.models.native import library
from mlplab.models.native.convolution import Form, Margin
from mlplab.models.native.depthwise import convolved as in_cpp


@keras.saving.register_keras_serializable(package="mlplab")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """``keras.layers.DepthwiseConv2D`` with one filter for each channel and no dilation.

    XLA's CPU backend processes each channel separately. Here it is done in C++ or, without a
    compiler, the shifted images are multiplied and summed for all channels at once, which becomes
    one loop.
    """

    def __init__(self, kernel_size: Any, **options: Any) -> None:
        super().__init__(kernel_size, **{"padding": "same", **options})

    @staticmethod
    def can_replace(layer: keras.layers.DepthwiseConv2D) -> bool:
        """Return whether this class computes the same as a Keras layer."""
        plain = layer.depth_multiplier == 1 and set(layer.dilation_rate) == {1}
        square = len(set(layer.strides)) == 1 and len(set(layer.kernel_size)) == 1
        return plain and square and layer.data_format == "channels_last"

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return activation(convolution + bias), float32 [n, height, width, channels]."""
        x = inputs.astype(jnp.float32)  # a network of the user's own may pass it raw pixels
        outputs = depthwise(x, self.kernel.value, self.strides[0], self.padding)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)


def depthwise(
    x: jax.Array, kernel: jax.Array, stride: int = 1, padding: Padding = "same"
) -> jax.Array:
    """Return the convolution of each channel, float32 [n, high, wide, channels].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [side, side, channels, 1].
        stride: in both directions.
        padding: as in Keras.
    """
    side, _, channels, _ = kernel.shape
    if jax.default_backend() != "cpu":
        found: jax.Array = lax.conv_general_dilated(
            x,
            kernel.reshape(side, side, 1, channels),
            (stride, stride),
            padding.upper(),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )
        return found
    around = margin(x, side, stride, padding)
    if library.found():
        high, wide = reach(x, side, stride, around)
        return in_cpp(x, kernel[..., 0], Form(high, wide, stride, around))
    return _summed(x, kernel, stride, around) if stride > 1 else _depthwise(x, kernel, around)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: jax.Array, kernel: jax.Array, around: Margin) -> jax.Array:
    return _summed(x, kernel, 1, around)


def _summed(x: jax.Array, kernel: jax.Array, stride: int, around: Margin) -> jax.Array:
    side = len(kernel)
    high, wide = reach(x, side, stride, around)
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    last_row, last_column = (high - 1) * stride + 1, (wide - 1) * stride + 1
    seen = [
        padded[:, down : down + last_row : stride, right : right + last_column : stride]
        * kernel[down, right, :, 0]
        for down in range(side)
        for right in range(side)
    ]
    return reduce(jnp.add, seen)


def _forward(
    x: jax.Array, kernel: jax.Array, around: Margin
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _summed(x, kernel, 1, around), (x, kernel)


def _backward(
    around: Margin, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    side = len(kernel)
    down, right = (tuple(side - 1 - zeros for zeros in both) for both in around)
    of_images = _summed(gradient, kernel[::-1, ::-1], 1, (down, right))
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    high, wide = gradient.shape[1:3]

    # A column at a time, for all positions of the kernel and all channels at once: with a separate
    # sum over the images for each position, these would take most of a step's time in XLA.
    def step(total: jax.Array, column: jax.Array) -> tuple[jax.Array, None]:
        below = lax.dynamic_slice_in_dim(padded, column, side, 2)
        given = lax.dynamic_slice_in_dim(gradient, column, 1, 2)
        seen = [below[:, row : row + side] * given[:, row : row + 1] for row in range(high)]
        return total + reduce(jnp.add, seen), None

    start = jnp.zeros((len(x), side, side, x.shape[-1]))
    of_kernel, _ = lax.scan(step, start, jnp.arange(wide))
    return of_images, of_kernel.sum(axis=0)[..., None]


_depthwise.defvjp(_forward, _backward)
