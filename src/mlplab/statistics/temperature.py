"""Temperature scaling: probabilities as certain as the network is right (Guo et al. 2017)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

LARGEST = 10.0
"""Of a temperature, and of its inverse. Where every prediction is right, the best one is 0."""


def temperature(probabilities: NDArray[np.floating], labels: ArrayLike) -> float:
    """Return the number that the logits must be divided by for the lowest log loss.

    Dividing all logits by one number changes no prediction: above 1 it makes the network less
    certain, below 1 more so.

    Args:
        probabilities: float [n, classes], of images that were not trained on.
        labels: int [n].

    Returns:
        Between 1 / ``LARGEST`` and ``LARGEST``.
    """
    # Up to a constant for each image, the logits are the logarithms of the probabilities.
    least = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(probabilities, least, dtype=np.float64))
    true = logits[np.arange(len(logits)), np.asarray(labels)]

    def loss(logarithm: float) -> float:
        factor = np.exp(-logarithm)
        return float(np.mean(logsumexp(factor * logits, axis=1) - factor * true))

    most = np.log(LARGEST)
    found = minimize_scalar(loss, bounds=(-most, most), method="bounded")
    return float(np.exp(found.x))
