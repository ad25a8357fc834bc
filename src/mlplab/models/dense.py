"""A dense layer whose products take bfloat16 and accumulate in float32.

Weights, activations and gradients stay float32: only what enters a product is rounded, so that the
optimizer loses nothing. Keras's ``mixed_bfloat16`` rounds the products' results as well, for which
CPUs have no fast path.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax


@keras.saving.register_keras_serializable(package="mlplab")
class Dense(keras.layers.Dense):  # type: ignore[misc]
    """``keras.layers.Dense`` with bfloat16 products: the same variables, the same parameters."""

    def call(self, inputs: jax.Array, training: bool | None = None) -> jax.Array:
        """Return activation(inputs · kernel + bias), float32 [n, units]."""
        outputs = product(inputs, self.kernel.value)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Return the matrix product of float32 [n, inputs] and [inputs, units], float32 [n, units].

    Forward and backward, both factors are rounded to bfloat16 and the sums are float32.
    """
    return _forward(x, kernel)[0]


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    rounded = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    return _dot(*rounded, 1, 0), rounded


def _backward(
    rounded: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = rounded
    gradient = gradient.astype(jnp.bfloat16)
    to_input = _dot(gradient, kernel, 1, 1)
    if jax.default_backend() == "cpu":
        # XLA's CPU backend has fast bfloat16 kernels for A·B and A·Bᵀ, but widens the factors of
        # Aᵀ·B to float32 first, at less than half the rate.
        return to_input, _dot(_transposed(x), gradient, 1, 0)
    return to_input, _dot(x, gradient, 0, 0)


product.defvjp(_forward, _backward)


def _dot(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int) -> Any:
    dimensions = (((axis_a,), (axis_b,)), ((), ()))
    return lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _transposed(x: jax.Array) -> jax.Array:
    """Return xᵀ written out: a bare transpose would be folded back into the product."""
    written: jax.Array = lax.optimization_barrier(x.T[None])  # type: ignore[no-untyped-call]
    return written.reshape(x.shape[1], x.shape[0])
