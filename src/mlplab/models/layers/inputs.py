"""The first layer of every network, which scales raw pixels."""

from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

Scaling = Literal["symmetric", "unit", "standard"]


def scaling_layer(
    scaling: Scaling,
    mean: NDArray[np.floating[Any]] | None = None,
    variance: NDArray[np.floating[Any]] | None = None,
) -> keras.layers.Layer:
    """Return the layer, named "scaling", that takes raw uint8 images and gives float32 ones.

    Args:
        scaling: "symmetric" maps 0..255 to [-1, 1], "unit" to [0, 1]; "standard" gives each channel
            mean 0 and deviation 1.
        mean: for "standard", the mean of each channel over the training split, in pixel units [c].
        variance: for "standard", their variance, in squared pixel units [c].

    Raises:
        ValueError: if "standard" comes without its statistics.
    """
    if scaling == "symmetric":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")
    if scaling == "unit":
        return keras.layers.Rescaling(1 / 255, name="scaling")
    if mean is None or variance is None:
        raise ValueError("the scaling 'standard' needs the mean and variance of each channel")
    # A channel that is constant in training would be divided by almost zero, so that the
    # slightest change in a new image would drown every other channel.
    variance = np.where(variance > 0, variance, 1.0)
    return keras.layers.Normalization(
        axis=-1, mean=mean.tolist(), variance=variance.tolist(), name="scaling"
    )
