"""The parts of a step in C++, as functions of arrays: see :mod:`mlplab.models.native.library`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlplab.models.native import library

FORWARD, TO_IMAGES, TO_KERNEL = 0, 1, 2
ACTIVATIONS = {"linear": 0, "relu": 1, "gelu": 2}
"""Of Keras; GELU is the exact one."""

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
    return _one("mlplab_convolve", shape, a, b, **numbers)


def fastest(precision: str) -> str:
    """Return the factors' data type: without instructions for bfloat16, float32 is faster."""
    return precision if library.rounds_to_bfloat16() else "float32"


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise(
    x: jax.Array, scale: jax.Array, shift: jax.Array, epsilon: float, activation: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return activation(batch normalisation), and mean and variance, which have no gradients.

    Args:
        x: float32 [n, height, width, channels], of a batch, whose moments are taken.
        scale: float32 [channels].
        shift: float32 [channels].
        epsilon: added to the variance.
        activation: one of ``ACTIVATIONS``.
    """
    shapes = (x.shape, scale.shape, scale.shape)
    options = {"activation": ACTIVATIONS[activation], "epsilon": epsilon}
    y, mean, variance = _call("mlplab_normalise", shapes, x, scale, shift, **options)
    return y, mean, variance


def _normalise_forward(
    x: jax.Array, scale: jax.Array, shift: jax.Array, epsilon: float, activation: str
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    y, mean, variance = normalise(x, scale, shift, epsilon, activation)
    return (y, mean, variance), (x, scale, shift, mean, variance)


def _normalise_backward(
    epsilon: float, activation: str, kept: tuple[jax.Array, ...], gradients: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    x, scale, *_ = kept
    shapes = (x.shape, scale.shape, scale.shape)
    options = {"activation": ACTIVATIONS[activation], "epsilon": epsilon}
    found = _call("mlplab_normalise_back", shapes, *kept, gradients[0], **options)
    return tuple(found)


normalise.defvjp(_normalise_forward, _normalise_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def activate(x: jax.Array, activation: str) -> jax.Array:
    """Return one of ``ACTIVATIONS`` of float32 [n, height, width, channels]."""
    return _one("mlplab_activate", x.shape, x, activation=ACTIVATIONS[activation])


def _activate_back(activation: str, x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    kind = ACTIVATIONS[activation]
    return (_one("mlplab_activate_back", x.shape, x, gradient, activation=kind),)


activate.defvjp(lambda x, activation: (activate(x, activation), x), _activate_back)


def maximum(images: jax.Array, side: int) -> jax.Array:
    """Return the maximum of each square of float32 [n, height, width, channels]."""
    n, height, width, channels = images.shape
    shape = (n, height // side, width // side, channels)
    return _one("mlplab_maximum", shape, images, side=side)


def maximum_back(
    images: jax.Array, found: jax.Array, gradient: jax.Array, side: int
) -> jax.Array:
    """Return the gradient of :func:`maximum` to the images, which ties share.

    Args:
        images: float32 [n, height, width, channels].
        found: their maxima.
        gradient: of the maxima.
        side: of the squares.
    """
    return _one("mlplab_maximum_back", images.shape, images, found, gradient, side=side)


def _one(name: str, shape: tuple[int, ...], *arrays: jax.Array, **options: float) -> jax.Array:
    (result,) = _call(name, [shape], *arrays, **options)
    return result


def _call(
    name: str, shapes: Sequence[tuple[int, ...]], *arrays: jax.Array, **options: float
) -> Any:
    """Call a function of the library: whole numbers are its int64, others its float."""
    forms = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]  # type: ignore[no-untyped-call]
    call = jax.ffi.ffi_call(name, forms, vmap_method="sequential")
    return call(
        *arrays,
        **{
            key: np.int64(value) if isinstance(value, int) else np.float32(value)
            for key, value in options.items()
        },
    )
