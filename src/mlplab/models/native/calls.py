"""The parts of a step in C++, as functions of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlplab.models.native import library

FORWARD, TO_IMAGES, TO_KERNEL = 0, 1, 2

Margin = tuple[tuple[int, ...], tuple[int, ...]]
"""Zeros above and below, left and right."""


def convolve(
    kind: int,
    a: jax.Array,
    b: jax.Array,
    shape: tuple[int, ...],
    stride: int,
    around: Margin,
    precision: str = "float32",
    pieces: int = 0,
) -> jax.Array:
    """Return a convolution or one of its gradients, float32 in the given shape.

    Args:
        kind: ``FORWARD`` of images and kernel; ``TO_IMAGES`` of the gradient and the kernel;
            ``TO_KERNEL`` of images and gradient.
        a: float32 [n, height, width, channels].
        b: likewise, or [side, side, channels, out].
        shape: of the result.
        stride: in both directions.
        around: zeros above and below, left and right of the images.
        precision: of the products' factors; ``"bfloat16"`` or ``"float32"``.
        pieces: of the images, whose gradients of the kernel are summed apart; by default one for
            each of XLA's threads.
    """
    (top, bottom), (left, right) = around
    numbers = {"kind": kind, "stride": stride, "pieces": pieces}
    numbers |= {"top": top, "bottom": bottom, "left": left, "right": right}
    numbers |= {"pairs": int(precision == "bfloat16")}
    result: jax.Array = _call("mlplab_convolve", shape, a, b, **numbers)
    return result


def fastest(precision: str) -> str:
    """Return the factors' data type: without instructions for bfloat16, float32 is faster."""
    return precision if library.rounds_to_bfloat16() else "float32"


def _call(name: str, shape: tuple[int, ...], *arrays: jax.Array, **numbers: int) -> Any:
    form = jax.ShapeDtypeStruct(shape, jnp.float32)  # type: ignore[no-untyped-call]
    call = jax.ffi.ffi_call(name, form, vmap_method="sequential")
    return call(*arrays, **{key: np.int64(value) for key, value in numbers.items()})
