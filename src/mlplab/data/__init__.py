"""Images in, splits out.

:func:`load` finds and reads a data set, :func:`split` takes validation images from its training
split.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mlplab.data import cifar, digits, given, idx, own
from mlplab.data.cache import Warn
from mlplab.data.dataset import Dataset, Download, Split, Splits, of_classes
from mlplab.data.published import CIFAR10, CIFAR100
from mlplab.data.second_tests import load_second
from mlplab.data.splits import class_weights, split
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data, DataName

__all__ = [
    "DATASETS",
    "Dataset",
    "Split",
    "Splits",
    "class_weights",
    "load",
    "load_second",
    "split",
]


@dataclass(frozen=True)
class Offered:
    """A data set that a recipe can name.

    Attributes:
        load: returns it, for the recipe's ``[data]``, the user's data folder, and warnings.
        download: its published files, if it can be fetched.
        archive: where on the web it is, if it is published together with others.
    """

    load: Callable[[Data, Path | None, Warn], Dataset]
    download: Download | None = None
    archive: str | None = None


DATASETS: dict[DataName, Offered] = {
    "cifar10": Offered(cifar.load_cifar10, CIFAR10.download),
    "cifar100": Offered(cifar.load_cifar100, CIFAR100.download),
    "digits": Offered(digits.load),
    "mnist": Offered(idx.load_mnist, idx.MNIST.download),
    "fashion_mnist": Offered(idx.load_fashion_mnist, idx.FASHION_MNIST.download),
    "kmnist": Offered(idx.load_kmnist, idx.KMNIST.download),
    "emnist": Offered(idx.load_emnist, archive=idx.EMNIST_ARCHIVE),
    "emnist_letters": Offered(idx.load_emnist_letters, archive=idx.EMNIST_ARCHIVE),
    "folder": Offered(own.load),
}

NAMED = 5
"""Unreadable files that a warning names; the data set names them all."""


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)


def load(settings: Data, data_dir: Path | None = None, warn: Warn = _warn) -> Dataset:
    """Return the data set that ``settings`` names.

    Args:
        settings: the recipe's ``[data]``.
        data_dir: searched for published data sets before ``MLPLAB_DATA_DIR``, Keras's cache and
            mlplab's.
        warn: called with what is worth knowing but no reason to stop, such as a full cache.

    Raises:
        DataError: the data set is missing, damaged or unsuitable.
    """
    dataset = DATASETS[settings.name].load(settings, data_dir, warn)
    if dataset.skipped:
        more = ", …" if len(dataset.skipped) > NAMED else ""
        named = ", ".join(dataset.skipped[:NAMED])
        files = "1 file" if len(dataset.skipped) == 1 else f"{len(dataset.skipped)} files"
        warn(f"{files} could not be read and left out: {named}{more}")
    if dataset.cropped:
        total = len({name for names in dataset.files.values() for name in names})
        warn(
            f"more than half of the picture is cut away in {len(dataset.cropped):,} of {total:,}"
            f" files, which are long and narrow, such as {dataset.cropped[0]}: images are cropped"
            " to squares around their centres; data.fit=pad keeps them whole, between grey bars"
        )
    return of_classes(dataset, settings.classes) if settings.classes else dataset


class _Callable(ModuleType):
    """A module that is also a function: ``mlplab.data(x, y)``, as a program reads best."""

    def __call__(self, x: Any, y: Any = None, **more: Any) -> given.Arrays:
        """Return arrays as data for ``mlplab.train``: see :func:`mlplab.data.given.arrays`."""
        if y is None:
            raise DataError("y is missing: mlplab.data(x, y) takes images and their labels")
        return given.arrays(x, y, **more)


sys.modules[__name__].__class__ = _Callable
