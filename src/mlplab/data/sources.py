"""The files that the images of a data set are in: their names, their identity, what is cut away."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlplab.data.dataset import Dataset
from mlplab.data.images import Fit, Shape, opened
from mlplab.data.trees import relative
from mlplab.errors import DataError


def add(
    dataset: Dataset, files: Mapping[str, Sequence[Path]], root: Path, shape: Shape, fit: Fit
) -> Dataset:
    """Return a data set with names and digests of its files, and those that are badly cropped.

    Args:
        dataset: without them.
        files: for ``train`` and ``test``, the file of each image, by ``index``.
        root: the folder that the names are relative to.
        shape: of the images.
        fit: how they were brought into it.

    Raises:
        DataError: a file cannot be read any more.
    """
    everything = list(dict.fromkeys(path for paths in files.values() for path in paths))
    names = {path: relative(path, root) for path in everything}
    digests = {path: _digest(path) for path in everything}
    return replace(
        dataset,
        files={split: tuple(names[path] for path in paths) for split, paths in files.items()},
        digests={split: tuple(digests[path] for path in paths) for split, paths in files.items()},
        cropped=tuple(names[path] for path in everything if is_mostly_cut(path, shape, fit)),
    )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def is_mostly_cut(source: Path | bytes, shape: Shape, fit: Fit) -> bool:
    """Return whether less than half of an image is left in the proportions of a shape.

    Turning it by a quarter, as EXIF data may say, does not change that where the shape is square.
    """
    if fit != "crop":
        return False
    with opened(source, "the image") as image:
        across = image.width * shape[0] / (image.height * shape[1])
    return min(across, 1 / across) < 0.5
