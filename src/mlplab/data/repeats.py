"""Pictures that occur more than once in a data set."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mlplab.data.dataset import Split

Groups = NDArray[np.int64]
"""[m, 3], the images that occur more than once: a number for each group of equal images, 0 for the
training split or 1 for the test split, and the image's ``index``."""


def repeats(train: Split, test: Split) -> Groups:
    """Return the groups of images that are equal in every pixel."""
    groups: dict[bytes, list[tuple[int, int]]] = {}
    for number, split in enumerate((train, test)):
        for image, index in zip(split.images, split.index.tolist(), strict=True):
            digest = blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            groups.setdefault(digest, []).append((number, index))
    several = [group for group in groups.values() if len(group) > 1]
    rows = [(n, *member) for n, group in enumerate(several) for member in group]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def shared(
    groups: Groups, train: NDArray[np.int64], held_out: NDArray[np.int64], tests: bool
) -> list[tuple[int, int]]:
    """Return the held-out images that are also training images.

    Args:
        groups: of the data set.
        train: int64 [n], ``index`` of the training images.
        held_out: int64 [m], ``index`` of the held-out images.
        tests: whether these are of the published test split, or of the training split.

    Returns:
        For each such image its ``index`` and that of the first equal training image.
    """
    trained = groups[(groups[:, 1] == 0) & np.isin(groups[:, 2], train)]
    first: dict[int, int] = {}
    for group, _, index in trained.tolist():
        first.setdefault(group, index)
    chosen = groups[(groups[:, 1] == int(tests)) & np.isin(groups[:, 2], held_out)]
    return [(index, first[group]) for group, _, index in chosen.tolist() if group in first]
