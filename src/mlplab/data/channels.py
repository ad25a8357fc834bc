"""Grey and colour images, as arrays."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Channels = Literal["auto", 1, 3]
"""How many: 1 for grey, 3 for colour; ``"auto"`` is 1 if all images are grey."""

AT_A_TIME = 1024
"""Images that are converted together: whole numbers take four times the memory of pixels."""

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in a grey value, in 65,536ths: ITU-R 601-2, as Pillow has them."""


def in_channels(
    images: Mapping[str, NDArray[np.uint8]], wanted: Channels
) -> dict[str, NDArray[np.uint8]]:
    """Return images with one channel or three.

    Args:
        images: by split, uint8 [n, height, width, 1 or 3], all with the same number of channels.
        wanted: how many. An image is grey if red, green and blue are equal in every pixel.
    """
    if wanted == "auto":
        wanted = 1 if all(map(are_grey, images.values())) else 3
    return {split: _converted(pixels, wanted) for split, pixels in images.items()}


def are_grey(images: NDArray[np.uint8]) -> bool:
    """Return whether all images, uint8 [n, height, width, 1 or 3], are grey."""
    if images.shape[-1] == 1:
        return True
    first = images[..., 0]
    # Image by image: the first one in colour, usually the very first, ends it.
    return all(
        np.array_equal(grey, image[..., 1]) and np.array_equal(grey, image[..., 2])
        for grey, image in zip(first, images, strict=True)
    )


def _converted(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    grey = np.empty((*images.shape[:-1], 1), np.uint8)
    for start in range(0, len(images), AT_A_TIME):
        part = images[start : start + AT_A_TIME].astype(np.uint32)
        grey[start : start + AT_A_TIME, ..., 0] = (part @ np.array(LUMA, np.uint32) + 32768) >> 16
    return grey
