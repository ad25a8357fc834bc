"""Changes of image batches that keep their labels, each a pure function of explicit amounts.

Images are uint8 [batch, height, width, channels] in and out, amounts are arrays [batch]; random
amounts are drawn in :mod:`mlplab.augment.pipeline`. Beyond its edges an image is mirrored, without
repeating the edge itself (NumPy's ``reflect``).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

GREY = 127  # the middle of the pixels' range, rounded down: what cutout leaves
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in brightness, ITU-R BT.601


def flip(images: jax.Array, flipped: jax.Array) -> jax.Array:
    """Mirror images left to right where ``flipped`` (bool [batch]) is true."""
    return jnp.where(_by_image(flipped), images[:, :, ::-1], images)


def shift(images: jax.Array, down: jax.Array, right: jax.Array, most: int) -> jax.Array:
    """Shift images by whole pixels.

    Args:
        images: uint8 [batch, height, width, channels].
        down: int32 [batch], in -most..most.
        right: int32 [batch], in -most..most.
        most: smaller than the images' sides.
    """
    shape = images.shape[1:]
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="reflect")
    starts = jnp.stack([most - down, most - right, jnp.zeros_like(down)], axis=1)
    return jax.vmap(lambda image, start: jax.lax.dynamic_slice(image, start, shape))(padded, starts)


def places(
    shape: Sequence[int], share: jax.Array, down: jax.Array, right: jax.Array, degrees: jax.Array
) -> jax.Array:
    """Return from where :func:`warp` reads a part of an image, enlarged to the whole and rotated.

    Args:
        shape: (height, width) of the images.
        share: float32 [batch] in (0, 1], area of the part; it has the image's proportions.
        down: float32 [batch] in [0, 1], position of the part: 0 at the top, 1 at the bottom.
        right: float32 [batch] in [0, 1], likewise from left to right.
        degrees: float32 [batch], the rotation, clockwise.

    Returns:
        float32 [batch, 6]: y and x of the first pixel, and of the ways from each pixel to the next
        one down and to the next one across.
    """
    height, width = shape
    side, angle = jnp.sqrt(share), jnp.deg2rad(degrees)
    along, aside = side * jnp.cos(angle), side * jnp.sin(angle)
    half_y, half_x = (height - 1) / 2, (width - 1) / 2
    # The part's centre, and from there half of the result's sides back, turned as the part is.
    first_y = half_y + (down - 0.5) * (1 - side) * height - half_y * along + half_x * aside
    first_x = half_x + (right - 0.5) * (1 - side) * width - half_y * aside - half_x * along
    return jnp.stack([first_y, first_x, along, aside, -aside, along], axis=1)


def warp(images: jax.Array, places: jax.Array) -> jax.Array:
    """Read images at other places, between pixels by bilinear interpolation.

    Args:
        images: uint8 [batch, height, width, channels].
        places: of :func:`places`, float32 [batch, 6].
    """
    height, width = images.shape[1:3]
    down = jnp.arange(height, dtype=jnp.float32)[:, None]
    across = jnp.arange(width, dtype=jnp.float32)[None, :]

    def one(image: jax.Array, at: jax.Array) -> jax.Array:
        y = at[0] + down * at[2] + across * at[4]
        x = at[1] + down * at[3] + across * at[5]
        return _bilinear(image, y, x)

    return jax.vmap(one)(images, places)


def colour(
    images: jax.Array, brightness: jax.Array, contrast: jax.Array, saturation: jax.Array
) -> jax.Array:
    """Scale brightness, then the distance from the image's mean, then that from each pixel's grey.

    Args:
        images: uint8 [batch, height, width, channels]; saturation needs three channels and does
            nothing without.
        brightness: float32 [batch], a factor; 1 changes nothing.
        contrast: float32 [batch], likewise.
        saturation: float32 [batch], likewise.
    """
    channels = images.shape[-1]
    luma = jnp.array(LUMA if channels == len(LUMA) else [1 / channels] * channels)
    grey = brightness * (images.mean(axis=(1, 2), dtype=jnp.float32) * luma).sum(axis=-1)
    # All three are linear: together they are one matrix [from, to] for an image, and a constant.
    # Applied channel by channel it vectorises; sums over the short last axis do not on a CPU.
    kept = saturation[:, None, None] * jnp.eye(channels)
    spread = (1 - saturation)[:, None, None] * luma[:, None]
    matrix = (brightness * contrast)[:, None, None] * (kept + spread)
    values = _by_image(grey * (1 - contrast))
    for index in range(channels):
        values = values + images[..., index, None] * matrix[:, None, None, index]
    return rounded(values)


def cutout(images: jax.Array, top: jax.Array, left: jax.Array, side: int) -> jax.Array:
    """Paint a square grey.

    Args:
        images: uint8 [batch, height, width, channels].
        top: int32 [batch], the square's first row; parts beyond the edges are cut off.
        left: int32 [batch], its first column.
        side: of the square, in pixels.
    """
    height, width = images.shape[1:3]
    inside = box(height, width, top, left, side, side)
    return jnp.where(inside[..., None], jnp.uint8(GREY), images)


def box(
    height: int,
    width: int,
    top: jax.Array,
    left: jax.Array,
    rows: jax.Array | int,
    columns: jax.Array | int,
) -> jax.Array:
    """Return which pixels are in a box: bool [..., height, width] for corners int32 [...]."""
    y, x = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    top, left = top[..., None, None], left[..., None, None]
    return (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)


def rounded(values: jax.Array) -> jax.Array:
    """Return float32 values as pixels, uint8."""
    return jnp.clip(jnp.round(values), 0, 255).astype(jnp.uint8)


def _bilinear(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Read one image [height, width, channels] at positions y, x, float32 [height, width]."""
    y, x = (_reflected(at, size) for at, size in zip((y, x), image.shape[:2], strict=True))
    top, left = jnp.floor(y), jnp.floor(x)
    share_y, share_x = (y - top)[..., None], (x - left)[..., None]
    rows, columns = top.astype(jnp.int32), left.astype(jnp.int32)
    # At the last pixel the weight of the next one is 0, so it may be any.
    below = jnp.minimum(rows + 1, image.shape[0] - 1)
    beside = jnp.minimum(columns + 1, image.shape[1] - 1)

    def read(row: jax.Array, column: jax.Array) -> jax.Array:
        return image.at[row, column].get(mode="promise_in_bounds").astype(jnp.float32)

    upper = (1 - share_x) * read(rows, columns) + share_x * read(rows, beside)
    lower = (1 - share_x) * read(below, columns) + share_x * read(below, beside)
    return rounded((1 - share_y) * upper + share_y * lower)


def _reflected(position: jax.Array, size: int) -> jax.Array:
    """Fold positions beyond 0..size - 1 back at both ends."""
    last = size - 1
    if not last:
        return jnp.zeros_like(position)
    return last - jnp.abs(jnp.mod(position, 2 * last) - last)


def _by_image(values: jax.Array) -> jax.Array:
    return values[:, None, None, None]
