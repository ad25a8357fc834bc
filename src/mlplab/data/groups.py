"""Groups of images that stay on one side of a split, such as all images of a patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import DataError


def groups_held_out(
    labels: NDArray[np.int32],
    groups: NDArray[np.int64],
    share: float,
    seed: int,
    class_names: Sequence[str],
    parts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose whole groups that together have about a share of every class.

    From the largest group to the smallest, in random order among equals, each group is held out if
    that brings the shares of the classes closer to ``share``. A class of which nothing is held out
    then gives its smallest group, and a class of which everything would be takes one back.

    Args:
        labels: int [n].
        groups: int64 [n].
        share: between 0 and 1.
        seed: decides the choice.
        class_names: the meaning of the labels.
        parts: all parts into which the images are divided in the end, for the message.

    Returns:
        The positions kept and the positions held out, int64, each ascending.

    Raises:
        DataError: a class has fewer groups than there are parts, or cannot be divided.
    """
    names, number = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(class_names)), dtype=np.int64)  # images by group and class
    np.add.at(counts, (number, labels), 1)
    few = np.flatnonzero((counts > 0).sum(axis=0) < len(parts)).tolist()
    if few:
        of = f"'{class_names[few[0]]}' has {(counts[:, few[0]] > 0).sum()}"
        raise DataError(
            f"too few groups for the splits {', '.join(parts)}: the images of a group stay"
            f" together, so every class needs at least {len(parts)} groups, but {of}."
        )
    held = _chosen(counts, share, np.random.default_rng(seed))
    for side in (held, ~held):
        lacking = np.flatnonzero(counts[side].sum(axis=0) == 0).tolist()
        if lacking:
            raise DataError(
                f"the groups leave no image of class '{class_names[lacking[0]]}' for one of the"
                f" splits {', '.join(parts)}; add groups with this class, or leave it out."
            )
    chosen = held[number]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _chosen(counts: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which groups are held out, bool [groups], from their images by class."""
    shares = counts / counts.sum(axis=0)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-shares[order].sum(axis=1), kind="stable")]
    held = np.zeros(len(counts), dtype=bool)
    reached = np.zeros(counts.shape[1])
    for group in order:
        if ((reached + shares[group] - share) ** 2).sum() < ((reached - share) ** 2).sum():
            held[group] = True
            reached += shares[group]
    for label in range(counts.shape[1]):
        members = order[counts[order, label] > 0]
        if not held[members].any():
            held[members[-1]] = True
        elif held[members].all():
            held[members[-1]] = False
    return held
