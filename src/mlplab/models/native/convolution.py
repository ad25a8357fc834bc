"""Convolutions in C++, with what follows them: see :mod:`mlplab.models.native.library`."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from mlplab.models.native import calls, library

TO_IMAGES, TO_KERNEL = 1, 2
SIDE = 2  # of the squares whose maxima follow a convolution

Margin = tuple[tuple[int, ...], tuple[int, ...]]
"""Zeros above and below, left and right."""


@dataclass(frozen=True)
class Form:
    """How to convolve, and what follows.

    Attributes:
        high: of the result, before pooling.
        wide: likewise.
        stride: in both directions.
        around: zeros around the images.
        precision: of the products' factors, "float32" or "bfloat16".
        activation: one of :data:`mlplab.models.native.calls.ACTIVATIONS`.
        pooled: whether of each square of four positions the maximum is taken; then there is no
            activation.
        pieces: of the images, whose gradients of the kernel are summed apart; by default one for
            each of XLA's threads.
    """

    high: int
    wide: int
    stride: int
    around: Margin
    precision: str = "float32"
    activation: str = "linear"
    pooled: bool = False
    pieces: int = 0

    def sizes(self) -> dict[str, int]:
        """Return the sizes that both directions have to know."""
        (top, bottom), (left, right) = self.around
        return {
            "high": self.high,
            "wide": self.wide,
            "stride": self.stride,
            "top": top,
            "bottom": bottom,
            "left": left,
            "right": right,
        }

    def numbers(self) -> dict[str, int]:
        """Return what both directions have to know."""
        return self.sizes() | {"factors": library.factors_of(self.precision)}


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def convolved(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, form: Form) -> jax.Array:
    """Return activation(convolution + bias), or its maxima, float32 [n, high, wide, out].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [side, side, channels, out].
        bias: float32 [out]; ``None`` for none.
        form: how.
    """
    return _forward(x, kernel, bias, form, form.activation)[0]


def _forward(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, form: Form, activation: str
) -> tuple[jax.Array, jax.Array]:
    """Return the result and, for each maximum, which positions have it, as bits."""
    n, out = len(x), kernel.shape[-1]
    if bias is None and activation != "linear":
        bias = jnp.zeros(out)
    side = SIDE if form.pooled else 1
    shape = (n, form.high // side, form.wide // side, out)
    results = [(shape, "float32"), (shape if form.pooled else (0, 0, 0, 0), "uint8")]
    added = jnp.zeros(0) if bias is None else bias
    options = form.numbers() | {"activation": calls.ACTIVATIONS[activation]}
    result, places = library.call("mlplab_convolve", results, x, kernel, added, **options)
    return result, places


def _for_gradients(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None, form: Form
) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    # The activation's slope needs what it is of.
    found, places = _forward(x, kernel, bias, form, "linear")
    if form.activation == "linear":
        return found, (x, kernel, bias, places, None)
    return calls.activate(found, form.activation), (x, kernel, bias, places, found)


def _backward(
    form: Form, kept: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    x, kernel, bias, places, found = kept
    if found is not None:
        gradient = calls.activate_back(form.activation, found, gradient)
    return (
        back(TO_IMAGES, gradient, kernel, places, x.shape, form),
        back(TO_KERNEL, gradient, x, places, kernel.shape, form),
        None if bias is None else gradient.sum((0, 1, 2)),
    )


convolved.defvjp(_for_gradients, _backward)


def back(
    what: int,
    gradient: jax.Array,
    other: jax.Array,
    places: jax.Array,
    shape: tuple[int, ...],
    form: Form,
) -> jax.Array:
    """Return a convolution's gradient to its images, or to its kernel.

    Args:
        what: ``TO_IMAGES`` or ``TO_KERNEL``.
        gradient: float32 [n, high, wide, out], of the results or of their maxima.
        other: the kernel, for the gradient to the images; the images, for that to the kernel.
        places: uint8, the bits of the maxima; of no images without pooling.
        shape: of the result.
        form: how.
    """
    options = form.numbers() | {"what": what, "pieces": form.pieces}
    return library.one("mlplab_convolve_back", shape, gradient, other, places, **options)
