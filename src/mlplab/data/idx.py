"""MNIST and Fashion-MNIST: images in IDX files, packed or not."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from mlplab.data.cache import Source, Warn, content_fingerprint
from mlplab.data.dataset import Dataset, Download, Split, assemble, whole
from mlplab.data.published import find
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

SIDE = 28
MOST = 1_000_000  # images that a file may claim; the published ones have up to 60,000
UNSIGNED_BYTES = 8  # IDX's code for the type of the numbers


@dataclass(frozen=True)
class Idx:
    """A data set that is published as four IDX files.

    Attributes:
        name: that a recipe gives it.
        class_names: the meaning of the labels.
        download: the published files.
        folders: where other programs keep it, besides a folder of its own name.
    """

    name: str
    class_names: tuple[str, ...]
    download: Download
    folders: tuple[str, ...]

    def damaged(self, path: Path, reason: object) -> DataError:
        """Return the error for a file that does not hold what it should."""
        return DataError(
            f"{path} is truncated, damaged or no file of {self.name} ({reason}).\n"
            f"Delete it and run `mlplab data fetch {self.name}`, or copy it again from its source."
        )


FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _files_at(base_url: str, *md5: str) -> Download:
    """Return the download of all four files."""
    return Download(base_url, dict(zip(FILES, md5, strict=True)))


MNIST = Idx(
    name="mnist",
    class_names=tuple("0123456789"),
    download=_files_at(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    folders=("MNIST/raw",),
)

FASHION_MNIST = Idx(
    name="fashion_mnist",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    download=_files_at(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    folders=("FashionMNIST/raw", "fashion-mnist"),
)


def load_mnist(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 70,000 grey images of digits, 28×28, in 10 classes, 10,000 of them for testing.

    LeCun, Cortes & Burges, "The MNIST database of handwritten digits", 1998.

    Raises:
        DataError: they are nowhere, or damaged.
    """
    return _load(MNIST, data_dir, warn)


def load_fashion_mnist(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 70,000 grey images of clothes, 28×28, in 10 classes, 10,000 of them for testing.

    Xiao, Rasul & Vollgraf, "Fashion-MNIST", 2017.

    Raises:
        DataError: they are nowhere, or damaged.
    """
    return _load(FASHION_MNIST, data_dir, warn)


def _load(kind: Idx, data_dir: Path | None, warn: Warn) -> Dataset:

    def look(candidate: Path) -> Source | None:
        files = list(_files(candidate))
        if len(files) < len(FILES):
            return None
        return Source(
            partial(content_fingerprint, files, kind.name, "idx"), partial(_read, files, kind)
        )

    return find(kind.name, (kind.name, *kind.folders), look, data_dir, warn)


def _files(folder: Path) -> Iterator[Path]:
    for name in FILES:
        for path in (folder / name, folder / name.removesuffix(".gz")):
            if path.is_file():
                yield path
                break


def _read(files: list[Path], kind: Idx) -> Dataset:
    splits: list[Split] = []
    for images_file, labels_file in (files[:2], files[2:]):
        images = _array(images_file, kind, (SIDE, SIDE))
        labels = _array(labels_file, kind, ())
        if len(images) != len(labels):
            raise kind.damaged(labels_file, f"{len(labels)} labels of {len(images)} images")
        if labels.max() >= len(kind.class_names):
            raise kind.damaged(labels_file, f"a label {labels.max()}")
        splits.append(whole(images[..., None], labels.astype(np.int32)))
    train, test = splits
    return assemble(kind.name, kind.class_names, train, test)


def _array(path: Path, kind: Idx, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what a file holds, uint8 [n, *shape]: never more than its header says."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with cast(BinaryIO, opened(path, "rb")) as file:
            begin, length = bytes((0, 0, UNSIGNED_BYTES, 1 + len(shape))), 4 * (2 + len(shape))
            first = file.read(length)
            if first[:4] != begin or len(first) < length:
                raise kind.damaged(path, "its first bytes are not those of such an IDX file")
            count, *sides = map(int, np.frombuffer(first[4:], ">i4"))
            if not 1 <= count <= MOST or tuple(sides) != shape:
                raise kind.damaged(path, f"{count} items of {sides}")
            size = count * int(np.prod(shape, dtype=int))
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise kind.damaged(path, error) from None
    if len(content) != size:
        raise kind.damaged(path, "it is shorter or longer than it says")
    return np.frombuffer(content, np.uint8).reshape(count, *shape)
