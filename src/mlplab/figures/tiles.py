"""Small pictures side by side as one, pixel for pixel."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from numpy.typing import NDArray

GAP = 0.05  # of a picture's longer side


def tiled(pictures: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Return pictures of the same shape [height, width, 3] as one, in rows, with white gaps.

    Matplotlib takes a hundred times as long to lay out a grid of axes.
    """
    gap = max(1, round(GAP * max(pictures[0].shape)))
    height, width = (side + gap for side in pictures[0].shape[:2])
    whole = np.full((height * -(-len(pictures) // columns), width * columns, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = height * (number // columns), width * (number % columns)
        whole[top : top + height - gap, left : left + width - gap] = picture
    return whole[:-gap, :-gap]


def weight_image(weight: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return weights [height, width, channels] as uint8 RGB, zero in the middle."""
    finite = np.nan_to_num(np.asarray(weight, np.float64), posinf=0, neginf=0)
    unit = 0.5 + 0.5 * finite / (np.abs(finite).max() or 1)
    if unit.shape[-1] != 3:
        unit = matplotlib.colormaps["RdBu_r"](unit.mean(axis=-1))[..., :3]
    return np.round(255 * unit).astype(np.uint8)


def of_weights(kernel: NDArray[np.floating], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Return the weights of units [inputs, units] as pictures in the image's shape, in rows."""
    pictures = [
        weight_image(kernel[:, unit].reshape(tuple(shape))) for unit in range(kernel.shape[1])
    ]
    return tiled(pictures, _columns(len(pictures)))


def of_fields(energy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return where units look, shares [units, height, width], each scaled to its own maximum."""
    known = np.nan_to_num(energy)
    most = known.max(axis=(1, 2), keepdims=True)
    colours = matplotlib.colormaps["magma"](known / np.where(most > 0, most, 1))[..., :3]
    return tiled(list(np.round(255 * colours).astype(np.uint8)), _columns(len(known)))


def _columns(count: int) -> int:
    return max(1, round(math.sqrt(count)))


def heat(weight: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return values [height, width], not negative, as uint8 RGB: black is 0, bright the largest."""
    known = np.nan_to_num(weight)
    colours = np.asarray(matplotlib.colormaps["magma"](known / (known.max() or 1)))[..., :3]
    return np.round(255 * colours).astype(np.uint8)


def of_activations(values: NDArray[np.floating], most: int) -> NDArray[np.uint8]:
    """Return what a layer makes of one example: maps side by side, or units as a strip of tiles.

    Args:
        values: [height, width, channels], or of any other shape, whose elements are units.
        most: channels that are drawn, the first; units are drawn all.
    """
    if values.ndim == 3:
        maps = np.moveaxis(values, -1, 0)[:most]
        low, high = maps.min(), maps.max()
        return tiled(
            [heat((each - low) / ((high - low) or 1)) for each in maps], _columns(len(maps))
        )
    units = values.reshape(-1)
    columns = math.ceil(math.sqrt(2 * len(units)))
    rows = -(-len(units) // columns)
    padded = np.zeros(rows * columns)
    low, high = float(units.min()), float(units.max())
    padded[: len(units)] = (units - low) / ((high - low) or 1)
    return heat(padded.reshape(rows, columns))
