"""Normalisation, activations and pooling in C++: see :mod:`mlplab.models.native.library`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import keras

from mlplab.models.native import library

ACTIVATIONS = {"linear": 0, "relu": 1, "gelu": 2}
"""Of Keras; GELU is the exact one."""


def name_of(activation: Any) -> str | None:
    """Return which of ``ACTIVATIONS`` a function of Keras is; no function is a linear one."""
    if activation is None:
        return "linear"
    return next((n for n in ACTIVATIONS if keras.activations.get(n) is activation), None)


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
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
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


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_normalise(x: jax.Array, scale: jax.Array, shift: jax.Array, epsilon: float) -> jax.Array:
    """Return each row normalised by its own mean and variance.

    Args:
        x: float32 [..., channels].
        scale: float32 [channels].
        shift: float32 [channels].
        epsilon: added to the variances.
    """
    return _layer_normalise_forward(x, scale, shift, epsilon)[0]


def _layer_normalise_forward(
    x: jax.Array, scale: jax.Array, shift: jax.Array, epsilon: float
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    rows = x.reshape(-1, x.shape[-1])
    shapes = (rows.shape, (len(rows),), (len(rows),))
    y, *moments = _call("mlplab_layer_normalise", shapes, rows, scale, shift, epsilon=epsilon)
    return y.reshape(x.shape), (x, scale, *moments)


def _layer_normalise_backward(
    epsilon: float, kept: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array, ...]:
    x, scale, *moments = kept
    rows = x.reshape(-1, x.shape[-1])
    shapes = (rows.shape, scale.shape, scale.shape)
    given = gradient.reshape(rows.shape)
    to_x, *others = _call("mlplab_layer_normalise_back", shapes, rows, scale, *moments, given)
    return to_x.reshape(x.shape), *others


layer_normalise.defvjp(_layer_normalise_forward, _layer_normalise_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def activate(x: jax.Array, activation: str) -> jax.Array:
    """Return one of ``ACTIVATIONS`` of float32 [...]."""
    kind = ACTIVATIONS[activation]
    return library.one("mlplab_activate", (x.size,), x.ravel(), activation=kind).reshape(x.shape)


def activate_back(activation: str, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """Return the gradient of :func:`activate` to ``x``."""
    kind, size = ACTIVATIONS[activation], (x.size,)
    found = library.one("mlplab_activate_back", size, x.ravel(), gradient.ravel(), activation=kind)
    return found.reshape(x.shape)


activate.defvjp(
    lambda x, activation: (activate(x, activation), x),
    lambda activation, x, gradient: (activate_back(activation, x, gradient),),
)


def maximum(images: jax.Array, side: int) -> jax.Array:
    """Return the maximum of each square of float32 [n, height, width, channels]."""
    n, height, width, channels = images.shape
    shape = (n, height // side, width // side, channels)
    return library.one("mlplab_maximum", shape, images, side=side)


def maximum_back(images: jax.Array, found: jax.Array, gradient: jax.Array, side: int) -> jax.Array:
    """Return the gradient of :func:`maximum` to the images, which ties share.

    Args:
        images: float32 [n, height, width, channels].
        found: their maxima.
        gradient: of the maxima.
        side: of the squares.
    """
    return library.one("mlplab_maximum_back", images.shape, images, found, gradient, side=side)


def _call(
    name: str, shapes: Sequence[tuple[int, ...]], *arrays: jax.Array, **options: float
) -> Any:
    return library.call(name, [(shape, "float32") for shape in shapes], *arrays, **options)
