"""Images whose labels a network doubts.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021.
"""

import numpy as np
from numpy.typing import NDArray


def candidates(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return the positions of images that probably belong to another class than their label says.

    These are images that the network predicts as another class, with a probability of at least the
    mean that this class gets for images labelled with it: the thresholds of confident learning
    (section 3.1).

    Args:
        probabilities: float [n, classes], of images that the network was not trained on.
        labels: int [n].

    Returns:
        int64 [m], ordered by self-confidence, the probability of the label: the lowest first.
    """
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, weights=own, minlength=probabilities.shape[1])
    thresholds = np.divide(sums, counts, out=np.full(len(counts), np.inf), where=counts > 0)
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) >= thresholds[predicted]
    found = np.flatnonzero(sure & (predicted != labels))
    return found[np.argsort(own[found], kind="stable")].astype(np.int64)


def far_errors(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Return, for each wrong prediction, whether the label is in the lower half of the ranking.

    Networks mistake a class for a similar one, so that the label of a hard image mostly ranks
    second or third. A label that is wrong at random ranks anywhere.

    Args:
        probabilities: float [n, classes], of images that the network was not trained on.
        labels: int [n].

    Returns:
        bool [m], for the wrongly predicted images in their order.
    """
    own = probabilities[np.arange(len(labels)), labels]
    rank = (probabilities > own[:, None]).sum(axis=1)
    far: NDArray[np.bool_] = 2 * rank[rank > 0] >= probabilities.shape[1]
    return far
