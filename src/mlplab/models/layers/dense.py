"""A dense layer that computes each of its three products in the form that suits the hardware.

In bfloat16, weights, activations and gradients stay float32: only the factors of products are
rounded, so the optimizer loses no precision. Keras's ``mixed_bfloat16`` rounds the products'
results as well, for which CPUs have no fast path.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
from jax import lax
from jax.experimental.sparse import JAXSparse

from mlplab.models.native import calls

Precision = Literal["float32", "bfloat16"]


@keras.saving.register_keras_serializable(package="mlplab")
class Dense(keras.layers.Dense):  # type: ignore[misc]
    """``keras.layers.Dense``: the same variables, the same parameters, and one more.

    Args:
        units: as in Keras.
        precision: of the products' factors.
        **options: as in Keras.

    Attributes:
        coarse: height, width and channels of the flattened image that the layer sees, and the side
            of the squares that are replaced by their mean; ``None`` to see it as it is.
    """

    # For layers that fast_layers gives this class, or lets compute their GELU in C++:
    precision: Precision = "float32"
    in_cpp: bool = False
    coarse: tuple[int, int, int, int] | None = None

    def __init__(self, units: int, precision: Precision = "float32", **options: Any) -> None:
        super().__init__(units, **options)
        self.precision = precision
        self.coarse = None

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same layer."""
        return {**super().get_config(), "precision": self.precision}

    def call(self, inputs: jax.Array, training: bool | None = None) -> jax.Array:
        """Return activation(inputs · kernel + bias), float32 [n, ..., units]."""
        if isinstance(inputs, JAXSparse):
            sparse: jax.Array = super().call(inputs, training=training)
            return sparse
        rows = inputs.reshape(-1, inputs.shape[-1]).astype(jnp.float32)
        kernel = self.kernel.value
        if self.coarse is not None:
            rows, kernel = coarsened(rows, kernel, *self.coarse)
        outputs = product(rows, kernel, self.precision)
        outputs = outputs.reshape(*inputs.shape[:-1], self.units)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        if self.in_cpp and outputs.dtype == jnp.float32:
            return calls.activate(outputs, "gelu")
        return outputs if self.activation is None else self.activation(outputs)


def coarsened(
    x: jax.Array, kernel: jax.Array, height: int, width: int, channels: int, side: int
) -> tuple[jax.Array, jax.Array]:
    """Return the means of an image's squares, and the sums of the weights for their pixels.

    Their product is that of the kernel with an image in which each pixel is its square's mean.

    Args:
        x: float32 [n, height * width * channels].
        kernel: float32 [height * width * channels, units].
        height: of the image.
        width: of the image.
        channels: of the image.
        side: of the squares, which divides height and width.
    """
    squares = (height // side, side, width // side, side, channels)
    means = x.reshape(-1, *squares).mean(axis=(2, 4))
    sums = kernel.reshape(*squares, -1).sum(axis=(1, 3))
    return means.reshape(len(x), -1), sums.reshape(-1, kernel.shape[-1])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """Return the matrix product of float32 [n, inputs] and [inputs, units], float32 [n, units].

    Forward and backward, both factors are rounded to ``precision`` and the sums are float32.
    """
    return _forward(x, kernel, precision)[0]


def _forward(
    x: jax.Array, kernel: jax.Array, precision: Precision
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    rounded = x.astype(precision), kernel.astype(precision)
    return dot(*rounded, 1, 0), rounded


def _backward(
    precision: Precision, rounded: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = rounded
    gradient = gradient.astype(precision)
    to_input = dot(gradient, kernel, 1, 1)
    if jax.default_backend() == "cpu":
        # XLA's CPU backend has fast kernels for A·B and A·Bᵀ. Aᵀ·B takes it 1.2 times as long in
        # float32; in bfloat16 it widens the factors first, at less than half the rate.
        return to_input, dot(transposed(x), gradient, 1, 0)
    return to_input, dot(x, gradient, 0, 0)


product.defvjp(_forward, _backward)


def dot(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> Any:
    """Return the product of two matrices over an axis of each, with float32 sums."""
    dimensions = (((axis_a,), (axis_b,)), ((), ()))
    return lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def transposed(x: jax.Array) -> jax.Array:
    """Return xᵀ written out: a bare transpose would be folded back into the product."""
    written: jax.Array = lax.optimization_barrier(x.T[None])  # type: ignore[no-untyped-call]
    return written.reshape(x.shape[1], x.shape[0])
