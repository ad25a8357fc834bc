"""A convolution as matrix products, which processors are faster at.

XLA's CPU backend takes a convolution in both directions at a fraction of the rate of its matrix
products. Here the inputs are laid out so that few large products do the work: the columns under the
kernel side by side, and one product for each of the kernel's rows.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.models.dense import Precision, product

FEW = 16
"""Channels below which rows make products too thin, and the whole kernel is laid out."""


@keras.saving.register_keras_serializable(package="mlplab")
class Conv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """``keras.layers.Conv2D`` with padding "same" and no dilation or groups; and one parameter.

    Args:
        filters: as Keras's.
        kernel_size: as Keras's.
        precision: of the products' factors.
        **options: as Keras's.
    """

    def __init__(
        self, filters: int, kernel_size: Any, precision: Precision = "float32", **options: Any
    ) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **options})
        self.precision = precision

    @staticmethod
    def stands_for(layer: keras.layers.Conv2D) -> bool:
        """Say whether this class computes what a layer of Keras's does."""
        plain = layer.padding == "same" and layer.groups == 1 and set(layer.dilation_rate) == {1}
        return plain and len(set(layer.strides)) == 1 and len(set(layer.kernel_size)) == 1

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that would make the same layer."""
        return {**super().get_config(), "precision": self.precision}

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return activation(convolution + bias), float32 [n, height, width, filters]."""
        outputs = convolved(inputs, self.kernel.value, self.strides[0], self.precision)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)


def convolved(x: jax.Array, kernel: jax.Array, stride: int, precision: Precision) -> jax.Array:
    """Return the convolution with padding "same", float32 [n, high, wide, out].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [side, side, channels, out].
        stride: in both directions.
        precision: of the products' factors.
    """
    count, height, width, channels = x.shape
    side, _, _, out = kernel.shape
    down, high = _padding(height, side, stride)
    right, wide = _padding(width, side, stride)
    padded = jnp.pad(x, ((0, 0), down, right, (0, 0)))
    last_row, last_column = (high - 1) * stride + 1, (wide - 1) * stride + 1
    columns = [padded[:, :, at : at + last_column : stride] for at in range(side)]
    if channels < FEW:
        taps = [c[:, at : at + last_row : stride] for at in range(side) for c in columns]
        laid = jnp.concatenate(taps, axis=-1).reshape(-1, side * side * channels)
        return product(laid, kernel.reshape(-1, out), precision).reshape(count, high, wide, out)
    laid = jnp.concatenate(columns, axis=-1)
    rows = [
        product(
            laid[:, at : at + last_row : stride].reshape(-1, side * channels),
            kernel[at].reshape(-1, out),
            precision,
        )
        for at in range(side)
    ]
    return sum(rows[1:], start=rows[0]).reshape(count, high, wide, out)


def _padding(length: int, side: int, stride: int) -> tuple[tuple[int, int], int]:
    """Return zeros before and after, and the length of the result, as TensorFlow pads "same"."""
    result = -(-length // stride)
    total = max(0, (result - 1) * stride + side - length)
    return (total // 2, total - total // 2), result
