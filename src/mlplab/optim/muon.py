"""Muon that also covers convolutions, with its matrix products in bfloat16 as its authors run it.

Keras leaves the kernels of convolutions to AdamW, and computes the products in the weights'
float32, at half the rate or less.
"""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax


class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """``keras.optimizers.Muon`` that treats the kernel of a convolution as a matrix.

    A kernel [side, side, channels, filters] is a matrix of side · side · channels rows (Jordan et
    al. 2024, "Muon: an optimizer for hidden layers in neural networks").

    Attributes:
        precision: of the factors of the Newton–Schulz iteration. Sums, momentum and weights stay
            float32 (its authors run the whole iteration in bfloat16).
    """

    precision = "float32"

    @classmethod
    def for_network(cls, params: dict[str, Any], model: keras.Model) -> dict[str, Any]:
        """Return the parameters with the output layer left to AdamW, unless they say otherwise.

        Orthogonal updates suit every layer but the last (Jordan et al. 2024).
        ``exclude_layers = []`` excludes none.
        """
        if params["exclude_layers"] is not None:
            return params
        matrices = [v.path for v in model.trainable_variables if len(v.shape) == 2]
        last = matrices[-1].rpartition("/")[0] if matrices else ""
        # A pattern for Keras's search in the paths of variables.
        patterns = [rf"(^|/){re.escape(last)}/"] if matrices else []
        return {**params, "exclude_layers": patterns}

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) == 4 and variable.shape[-1] > 1:  # not a depthwise kernel
            return any(re.search(keyword, variable.path) for keyword in self.exclude_layers)
        return bool(super()._should_use_adamw(variable))

    def lr_adjust(self, x: jax.Array) -> jax.Array:
        """Return an update scaled by the larger side of its matrix, as ``rms_rate`` asks."""
        adjusted: jax.Array = super().lr_adjust(_matrix(x))
        return adjusted.reshape(x.shape)

    def zeropower_via_newtonschulz5(self, x: jax.Array, steps: int) -> jax.Array:
        """Return an approximation of U·Vᵀ for a matrix U·S·Vᵀ, float32, of the given shape.

        Args:
            x: float32 [rows, columns], or the kernel of a convolution.
            steps: of the iteration.
        """
        rounds = self.precision == "bfloat16"
        iterated = self._rounded if rounds else super().zeropower_via_newtonschulz5
        result: jax.Array = iterated(_matrix(x), steps)
        return result.reshape(x.shape)

    def _rounded(self, x: jax.Array, steps: int) -> jax.Array:
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


def _matrix(x: jax.Array) -> jax.Array:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _times_transposed(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return a·bᵀ, float32: the form that is fastest on CPUs in bfloat16."""
    dimensions = (((1,), (1,)), ((), ()))
    return lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
