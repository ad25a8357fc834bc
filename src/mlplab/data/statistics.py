"""Statistics of the pixels, for scaling."""

import numpy as np
from numpy.typing import NDArray

# bincount widens its input to 8 bytes a pixel: this keeps that under 100 MB for 32×32×3.
IMAGES_AT_A_TIME = 4096


def channel_statistics(
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and variance of each channel over all images and positions.

    Computed from counts of the 256 values, which are exact for any number of images.

    Args:
        images: uint8 [n, height, width, channels]; only those of the training split, or the
            scaling would use information about the evaluation images.

    Returns:
        The mean and the (population) variance, float64 [channels], in units of 0 to 255.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), IMAGES_AT_A_TIME):
        chunk = images[start : start + IMAGES_AT_A_TIME]
        for channel in range(channels):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    total = counts.sum(axis=1)
    mean = counts @ values / total
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return mean, variance
