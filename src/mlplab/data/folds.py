"""Images dealt into folds, each of which is held out once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import DataError


def folds_of(
    labels: NDArray[np.int32],
    folds: int,
    seed: int,
    class_names: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Deal images into folds of about the same size, with about the same share of every class.

    Without groups, the images of a class are shuffled and dealt in turn, each class beginning where
    the one before ended. Groups are dealt as a whole, the largest first and in random order among
    equals, each to the fold that it leaves least uneven.

    Args:
        labels: int [n].
        folds: how many, at least 2.
        seed: decides the order.
        class_names: the meaning of the labels.
        groups: int64 [n], images that stay together; by default each may go by itself.

    Returns:
        The fold of each image, int64 [n], from 0.

    Raises:
        DataError: a class has fewer images, or is in fewer groups, than there are folds.
    """
    rng = np.random.default_rng(seed)
    members = np.arange(len(labels)) if groups is None else groups
    names, number = np.unique(members, return_inverse=True)
    counts = np.zeros((len(names), len(class_names)), np.int64)  # images by group and class
    np.add.at(counts, (number, labels), 1)
    _check(counts, folds, class_names, "images" if groups is None else "groups")
    if groups is not None:
        return _dealt(counts, folds, rng)[number]
    result = np.empty(len(labels), np.int64)
    dealt = 0
    for label in range(len(class_names)):
        own = rng.permutation(np.flatnonzero(labels == label))
        result[own] = (dealt + np.arange(len(own))) % folds
        dealt += len(own)
    return result


def _check(counts: NDArray[np.int64], folds: int, class_names: Sequence[str], what: str) -> None:
    there = (counts > 0).sum(axis=0)
    few = np.flatnonzero(there < folds).tolist()
    if few:
        raise DataError(
            f"too few {what} for {folds} folds: every class needs {folds}, but"
            f" '{class_names[few[0]]}' has {there[few[0]]}. Use fewer folds, or leave that class"
            " out"
        )


def _dealt(counts: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each group, int64 [groups], from its images by class."""
    shares = counts / counts.sum(axis=0)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-shares[order].sum(axis=1), kind="stable")]
    reached, images = np.zeros((folds, counts.shape[1])), np.zeros(folds)
    result = np.empty(len(counts), np.int64)
    for group in order:
        # The squares' sum grows by 2 · reached · share and a constant; of equals, the smallest.
        fold = int(np.lexsort((images, reached @ shares[group]))[0])
        result[group] = fold
        reached[fold] += shares[group]
        images[fold] += counts[group].sum()
    return result
