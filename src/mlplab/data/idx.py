"""MNIST and data sets made like it: images in IDX files, packed or not."""

import gzip
import string
import zlib
from collections.abc import Iterator, Sequence
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
MOST = 1_000_000  # images that a file may claim; the published ones have up to 697,932
UNSIGNED_BYTES = 8  # IDX's code for the type of the numbers

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class Idx:
    """A data set that is published as four IDX files.

    Attributes:
        name: that a recipe gives it.
        class_names: the meaning of the labels.
        download: the published files; ``None`` if they are only published in an archive with
            others.
        folders: where other programs keep it, besides a folder of its own name.
        files: names of images and labels for training, then of those for testing.
        first: the label of the first class.
        transposed: whether rows and columns are exchanged in the files.
    """

    name: str
    class_names: tuple[str, ...]
    download: Download | None
    folders: tuple[str, ...]
    files: tuple[str, ...] = FILES
    first: int = 0
    transposed: bool = False

    def damaged(self, path: Path, reason: object) -> DataError:
        """Return the error for a file that does not hold what it should."""
        again = f"run `mlplab data fetch {self.name}`, or " if self.download else ""
        return DataError(
            f"{path} is truncated, damaged or no file of {self.name} ({reason}).\n"
            f"Delete it and {again}copy it again from its source."
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


KMNIST = Idx(
    name="kmnist",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    download=_files_at(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    folders=("KMNIST/raw",),
)


def _emnist(name: str, part: str, class_names: str, first: int = 0) -> Idx:
    """Return one of EMNIST's divisions, all of which are in one archive."""
    return Idx(
        name=name,
        class_names=tuple(class_names),
        download=None,
        folders=("emnist", "EMNIST/raw", "emnist/gzip"),
        files=tuple(
            f"emnist-{part}-{split}-{what}-ubyte.gz"
            for split in ("train", "test")
            for what in ("images-idx3", "labels-idx1")
        ),
        first=first,
        transposed=True,
    )


EMNIST_ARCHIVE = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
# Of the small letters, those that look like their capitals are in one class with these.
EMNIST = _emnist("emnist", "balanced", string.digits + string.ascii_uppercase + "abdefghnqrt")
EMNIST_LETTERS = _emnist("emnist_letters", "letters", string.ascii_lowercase, first=1)


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


def load_kmnist(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 70,000 grey images of Japanese characters, 28×28, in 10 classes, 10,000 for testing.

    Clanuwat et al., "Deep Learning for Classical Japanese Literature", 2018.

    Raises:
        DataError: they are nowhere, or damaged.
    """
    return _load(KMNIST, data_dir, warn)


def load_emnist(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 131,600 grey images of digits and letters, 28×28, in 47 classes, 18,800 for testing.

    The balanced division of Cohen et al., "EMNIST: an extension of MNIST to handwritten letters",
    2017; upright, which its files are not.

    Raises:
        DataError: they are nowhere, or damaged.
    """
    return _load(EMNIST, data_dir, warn)


def load_emnist_letters(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return the division of EMNIST with letters alone, capital or small, in 26 classes, 28×28.

    Raises:
        DataError: they are nowhere, or damaged.
    """
    return _load(EMNIST_LETTERS, data_dir, warn)


def _load(kind: Idx, data_dir: Path | None, warn: Warn) -> Dataset:

    def look(candidate: Path) -> Source | None:
        files = list(_files(candidate, kind.files))
        if len(files) < len(kind.files):
            return None
        return Source(
            partial(content_fingerprint, files, kind.name, "idx"), partial(_read, files, kind)
        )

    how = None
    if kind.download is None:
        how = f"Download {EMNIST_ARCHIVE} and unpack its files into emnist/ in one of these places."
    return find(kind.name, (kind.name, *kind.folders), look, data_dir, warn, how)


def _files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
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
        numbers = labels.astype(np.int32) - kind.first
        if numbers.min() < 0 or numbers.max() >= len(kind.class_names):
            wrong = labels[(numbers < 0) | (numbers >= len(kind.class_names))][0]
            raise kind.damaged(labels_file, f"a label {wrong}")
        if kind.transposed:
            images = np.ascontiguousarray(images.swapaxes(1, 2))
        splits.append(whole(images[..., None], numbers))
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
