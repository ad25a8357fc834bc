"""A depthwise convolution that a CPU is fast at."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax


@keras.saving.register_keras_serializable(package="mlplab")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """``keras.layers.DepthwiseConv2D``, stride 1, padding "same", one filter for each channel.

    XLA's CPU backend takes each channel for itself. Here the shifted images are multiplied and
    added up, all channels at once, which becomes one loop.
    """

    def __init__(self, kernel_size: Any, **options: Any) -> None:
        super().__init__(kernel_size, **{"padding": "same", **options})

    @staticmethod
    def stands_for(layer: keras.layers.DepthwiseConv2D) -> bool:
        """Say whether this class computes what a layer of Keras's does."""
        plain = layer.padding == "same" and layer.depth_multiplier == 1
        ones = {*layer.strides, *layer.dilation_rate} == {1}
        return plain and ones and layer.data_format == "channels_last"

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return activation(convolution + bias), float32 [n, height, width, channels]."""
        outputs = depthwise(inputs, self.kernel.value)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)


def depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return the convolution of each channel, float32 [n, height, width, channels].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [high, wide, channels, 1].
    """
    high, wide, channels, _ = kernel.shape
    if jax.default_backend() != "cpu":
        found: jax.Array = lax.conv_general_dilated(
            x,
            kernel.reshape(high, wide, 1, channels),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )
        return found
    around = [((side - 1) // 2, side // 2) for side in (high, wide)]
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    height, width = x.shape[1:3]
    total = jnp.zeros_like(x)
    for down in range(high):
        for right in range(wide):
            shifted = padded[:, down : down + height, right : right + width]
            total = total + shifted * kernel[down, right, :, 0]
    return total
