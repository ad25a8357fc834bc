"""CIFAR-10 and CIFAR-100, found in any of their usual places and layouts."""

from collections.abc import Callable
from pathlib import Path

from mlplab.data import batches, folder, parquet
from mlplab.data.cache import Source, Warn
from mlplab.data.dataset import Dataset
from mlplab.data.published import CIFAR10, CIFAR100, SHAPE, Published, find
from mlplab.data.trees import scan
from mlplab.recipes.recipe import Data


def load_cifar10(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 60,000 colour images of 32×32 in 10 classes, 10,000 of them for testing.

    Raises:
        DataError: they cannot be found, or are damaged.
    """
    return _load(CIFAR10, data_dir, warn)


def load_cifar100(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 60,000 colour images of 32×32 in 100 (fine) classes, 10,000 of them for testing.

    Raises:
        DataError: they cannot be found, or are damaged.
    """
    return _load(CIFAR100, data_dir, warn)


def _load(kind: Published, data_dir: Path | None, warn: Warn) -> Dataset:
    def look(candidate: Path) -> Source | None:
        found = (layout(candidate, kind) for layout in LAYOUTS)
        return next((source for source in found if source is not None), None)

    return find(kind.name, (kind.name, "."), look, data_dir, warn)


def _class_folders(candidate: Path, kind: Published) -> Source | None:
    """Return the images in ``train/<class>/`` and ``test/<class>/``."""
    # A folder that merely contains train/ and test/ may be any other data set.
    train, test = candidate / "train", candidate / "test"
    if not (test.is_dir() and (train / kind.class_names[0]).is_dir()):
        return None
    trees = {"train": scan(train), "test": scan(test)}
    for tree in trees.values():
        different = sorted(set(tree.class_names) ^ set(kind.class_names))
        if different:
            raise kind.unsuitable(
                candidate, f"missing or additional classes: {', '.join(different[:5])}"
            )
    return folder.source(kind.name, trees, SHAPE, candidate)


LAYOUTS: tuple[Callable[[Path, Published], Source | None], ...] = (
    parquet.source,
    batches.unpacked_source,
    batches.archive_source,
    _class_folders,
)
