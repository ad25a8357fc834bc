"""A depthwise convolution that a CPU is fast at."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax

from mlplab.models.convolution import Padding, margin, reach


@keras.saving.register_keras_serializable(package="mlplab")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """``keras.layers.DepthwiseConv2D`` with one filter for each channel and no dilation.

    XLA's CPU backend takes each channel for itself. Here the shifted images are multiplied and
    added up, all channels at once, which becomes one loop.
    """

    def __init__(self, kernel_size: Any, **options: Any) -> None:
        super().__init__(kernel_size, **{"padding": "same", **options})

    @staticmethod
    def stands_for(layer: keras.layers.DepthwiseConv2D) -> bool:
        """Say whether this class computes what a layer of Keras's does."""
        plain = layer.depth_multiplier == 1 and set(layer.dilation_rate) == {1}
        square = len(set(layer.strides)) == 1 and len(set(layer.kernel_size)) == 1
        return plain and square and layer.data_format == "channels_last"

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return activation(convolution + bias), float32 [n, height, width, channels]."""
        outputs = depthwise(inputs, self.kernel.value, self.strides[0], self.padding)
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
        padding: as Keras's.
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
