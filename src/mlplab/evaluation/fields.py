"""Where in the image the units of the first layer look: local receptive fields, or everywhere.

A dense layer treats all pixels alike, and has to learn to look at neighbouring ones; a convolution
does so by construction.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras

from mlplab.models.filters import first_filters

Row = dict[str, float]

LOCAL = 0.5
"""Spread below which a unit is called local: that of a square of half the image's side."""


class Fields(NamedTuple):
    """The receptive fields of a layer.

    Attributes:
        energy: float32 [units, height, width], the share of a unit's squared weights at each pixel.
        spread: float32 [units], root-mean-square distance of the energy from its centre, relative
            to that of energy spread evenly over the image; NaN where all weights are 0.
    """

    energy: jax.Array
    spread: jax.Array


@partial(jax.jit, static_argnames="shape")
def fields(kernel: jax.Array, shape: tuple[int, int, int]) -> Fields:
    """Return the receptive fields of a dense layer on a flattened image.

    Args:
        kernel: float32 [height * width * channels, units].
        shape: height, width and channels.
    """
    height, width, _ = shape
    squares = jnp.square(kernel).reshape(*shape, -1).sum(axis=2)
    energy = (squares / squares.sum(axis=(0, 1))).transpose(2, 0, 1)
    variance = _variance(energy.sum(axis=2)) + _variance(energy.sum(axis=1))
    even = (height**2 - 1 + width**2 - 1) / 12
    return Fields(energy, jnp.sqrt(variance / max(even, 1e-9)))


def _variance(shares: jax.Array) -> jax.Array:
    """Return the variance of the position, float32 [units], of shares [units, positions]."""
    places = jnp.arange(shares.shape[1], dtype=jnp.float32)
    centre = shares @ places
    return (shares * jnp.square(places - centre[:, None])).sum(axis=1)


def of_model(model: keras.Model) -> Fields | None:
    """Return the receptive fields of a model's first layer, or ``None`` if that is not dense."""
    found = first_filters(model)
    return None if found is None else fields(jnp.asarray(found[0]), found[1])


def summary(found: Fields) -> Row:
    """Return ``local_share`` and ``field_spread``, the median, of units with non-zero weights.

    Empty if there are none.
    """
    seen = ~jnp.isnan(found.spread)
    if not seen.any():
        return {}
    local = (found.spread < LOCAL).sum() / seen.sum()
    return {"local_share": float(local), "field_spread": float(jnp.nanmedian(found.spread))}


def locality(model: keras.Model) -> Row:
    """Return the :func:`summary` of a model's first layer; empty if that is not dense."""
    found = of_model(model)
    return {} if found is None else summary(found)
