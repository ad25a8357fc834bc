"""Further test sets: images of the same classes that were collected later.

CIFAR-10.1: Recht et al., "Do CIFAR-10 Classifiers Generalize to CIFAR-10?", 2018.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.data.dataset import Dataset, assemble, whole
from mlplab.data.published import CIFAR10, SHAPE, places
from mlplab.errors import DataError, first_line
from mlplab.recipes.recipe import SecondTest

FILES = ("cifar10.1_v6_data.npy", "cifar10.1_v6_labels.npy")
FOLDERS = ("cifar10.1", "cifar10", ".")


def load_second(name: SecondTest, dataset: Dataset, data_dir: Path | None) -> Dataset:
    """Return a further test set as the test split of a data set without training images.

    Args:
        name: of the test set.
        dataset: the one that it belongs to, or some of its classes, which are then kept here too.
        data_dir: the place to look in first.

    Raises:
        DataError: it belongs to another data set, is nowhere, or is damaged.
    """
    if dataset.name != CIFAR10.name:
        raise DataError(f"{name} is a test set of cifar10, but this run is on {dataset.name}")
    if not set(dataset.class_names) <= set(CIFAR10.class_names):
        raise DataError(f"this copy of cifar10 has other class names than those of {name}")
    folders = [place / folder for place in places(data_dir) for folder in FOLDERS]
    found = next((f for f in folders if all((f / file).is_file() for file in FILES)), None)
    if found is None:
        searched = ", ".join(dict.fromkeys(map(str, places(data_dir))))
        raise DataError(
            f"{name} was not found: put {' and '.join(FILES)} into {name}/ in one of {searched}"
        )
    images, labels = (_array(found / file) for file in FILES)
    if images.shape[1:] != SHAPE or images.dtype != np.uint8:
        raise _unsuitable(found / FILES[0], f"{images.dtype} of {images.shape}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise _unsuitable(found / FILES[1], f"{labels.dtype} of {labels.shape}")
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(CIFAR10.class_names):
        raise _unsuitable(found / FILES[1], "labels outside 0 to 9")
    number = np.full(len(CIFAR10.class_names), -1, np.int32)
    for position, word in enumerate(dataset.class_names):
        number[CIFAR10.class_names.index(word)] = position
    numbered = number[labels]
    every = whole(images, numbered)
    chosen = every.take(np.flatnonzero(numbered >= 0))
    return assemble(name, dataset.class_names, chosen.take(np.arange(0)), chosen)


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unsuitable(path, first_line(error)) from None
    return array


def _unsuitable(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged or not that of CIFAR-10.1 ({reason}); copy it again")
