"""Muon with its matrix products in bfloat16, as its authors run it.

Keras takes them in the weights' float32, at half the rate or less.
"""

import jax
import jax.numpy as jnp
import keras
from jax import lax


class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """``keras.optimizers.Muon``, its Newton–Schulz iteration with bfloat16 factors.

    Sums, momentum and weights stay float32 (Jordan et al. 2024, "Muon: an optimizer for hidden
    layers in neural networks", where the iteration is in bfloat16 throughout).
    """

    def zeropower_via_newtonschulz5(self, x: jax.Array, steps: int) -> jax.Array:
        """Return an approximation of U·Vᵀ for a matrix U·S·Vᵀ, float32 [rows, columns].

        Args:
            x: float32 [rows, columns].
            steps: of the iteration.
        """
        tall = x.shape[0] > x.shape[1]
        if tall:
            # Written out: folded into the products, the transpose would slow each of them.
            x = lax.optimization_barrier(x.T[None]).reshape(x.shape[::-1])  # type: ignore[no-untyped-call]
        x = x / (jnp.linalg.norm(x) + 1e-7)
        for _ in range(steps):
            rounded = x.astype(jnp.bfloat16)
            square = _times_transposed(rounded, rounded)
            symmetric = square.astype(jnp.bfloat16)
            polynomial = self.muon_b * square + self.muon_c * _times_transposed(
                symmetric, symmetric
            )
            x = self.muon_a * x + jnp.matmul(
                polynomial.astype(jnp.bfloat16), rounded, preferred_element_type=jnp.float32
            )
        return x.T if tall else x


def _times_transposed(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return a·bᵀ, float32: the form that CPUs are fastest at in bfloat16."""
    dimensions = (((1,), (1,)), ((), ()))
    return lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
