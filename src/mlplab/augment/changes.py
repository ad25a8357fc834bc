"""What is done to each image of a batch: chosen from its draws, and done in XLA or in C++.

An image's changes come in this order: flip, crop and rotation (in one interpolation), shift,
colour, cutout.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlplab.augment import transforms
from mlplab.models.native import library
from mlplab.recipes.recipe import Augment


class Changes(NamedTuple):
    """The changes of a batch; ``None`` for those that are off.

    Attributes:
        flipped: bool [batch].
        places: of :func:`transforms.places`, float32 [batch, 6].
        shift: pixels down and right, int32 [batch] each.
        factors: of brightness, contrast and saturation, float32 [batch] each.
        square: first row and column of the grey square, int32 [batch] each.
    """

    flipped: jax.Array | None = None
    places: jax.Array | None = None
    shift: tuple[jax.Array, jax.Array] | None = None
    factors: tuple[jax.Array, jax.Array, jax.Array] | None = None
    square: tuple[jax.Array, jax.Array] | None = None


def is_slow_in_xla(settings: Augment) -> bool:
    """Return whether there are changes that take XLA nearly twice as long as C++, or longer."""
    return bool(settings.crop_resize or settings.rotation or settings.mixes)


def chosen(
    settings: Augment, drawn: dict[str, jax.Array], epoch: jax.Array, shape: Sequence[int]
) -> Changes:
    """Return a batch's changes.

    Args:
        settings: what is on, and how far it goes.
        drawn: each image's random numbers, float32 [batch] in [0, 1).
        epoch: int32, from 0.
        shape: (height, width) of the images.
    """

    def symmetric(name: str, most: float) -> jax.Array:
        return most * (2 * drawn[name] - 1)

    def whole(name: str, count: int) -> jax.Array:
        return jnp.floor(drawn[name] * count).astype(jnp.int32)

    flipped = places = shift = factors = square = None
    if settings.flip != "none":
        flipped = drawn["flip"] < 0.5
        if settings.flip == "alternating":
            flipped ^= epoch % 2 == 1
    if settings.crop_resize or settings.rotation:
        share = 1 - (1 - (settings.crop_resize or 1.0)) * drawn["share"]
        degrees = symmetric("degrees", settings.rotation)
        places = transforms.places(shape, share, drawn["crop_down"], drawn["crop_right"], degrees)
    if most := settings.shift:
        shift = (
            whole("shift_down", 2 * most + 1) - most,
            whole("shift_right", 2 * most + 1) - most,
        )
    if settings.colour:
        factors = (
            1 + symmetric("brightness", settings.colour),
            1 + symmetric("contrast", settings.colour),
            1 + symmetric("saturation", settings.colour),
        )
    if settings.cutout:
        half = settings.cutout // 2
        square = whole("cutout_down", shape[0]) - half, whole("cutout_right", shape[1]) - half
    return Changes(flipped, places, shift, factors, square)


def applied(settings: Augment, images: jax.Array, changes: Changes) -> jax.Array:
    """Return changed images, uint8 [batch, height, width, channels]."""
    if changes.flipped is not None:
        images = transforms.flip(images, changes.flipped)
    if changes.places is not None:
        images = transforms.warp(images, changes.places)
    if changes.shift is not None:
        images = transforms.shift(images, *changes.shift, settings.shift)
    if changes.factors is not None:
        images = transforms.colour(images, *changes.factors)
    if changes.square is not None:
        images = transforms.cutout(images, *changes.square, settings.cutout)
    return images


def applied_in_cpp(settings: Augment, images: jax.Array, changes: Changes) -> jax.Array:
    """Return what :func:`applied` does, from one pass over the images.

    Positions and colours are computed in another order, so that a value that is nearly halfway
    between two whole ones may be rounded to the other.
    """
    nothing = jnp.zeros(len(images), jnp.int32)
    flipped = nothing if changes.flipped is None else changes.flipped.astype(jnp.int32)
    both = nothing, nothing
    steps = jnp.stack([flipped, *(changes.shift or both), *(changes.square or both)], axis=1)
    places = jnp.zeros((len(images), 6)) if changes.places is None else changes.places
    factors = jnp.stack(changes.factors or (jnp.ones(len(images)),) * 3, axis=1)
    return _pixels(
        "mlplab_augment",
        images,
        steps,
        jnp.concatenate([places, factors], axis=1),
        flips=int(changes.flipped is not None),
        warps=int(changes.places is not None),
        shifts=int(changes.shift is not None),
        colours=int(changes.factors is not None),
        cut=settings.cutout,
    )


def mixed(
    images: jax.Array, partner: jax.Array, weights: jax.Array, in_cpp: bool = False
) -> jax.Array:
    """Return each image mixed with another one of the batch, uint8 as they are.

    Args:
        images: uint8 [batch, height, width, channels].
        partner: int32 [batch], the other ones.
        weights: float32 [height, width], the shares of an image's own pixels.
        in_cpp: whether to do it in C++.
    """
    if in_cpp:
        return _pixels("mlplab_mix", images, partner, weights)
    pixel = weights[..., None]
    return transforms.rounded(pixel * images + (1 - pixel) * images[partner])


def _pixels(name: str, images: jax.Array, *arrays: jax.Array, **options: float) -> jax.Array:
    result: jax.Array
    (result,) = library.call(name, [(images.shape, "uint8")], images, *arrays, **options)
    return result
