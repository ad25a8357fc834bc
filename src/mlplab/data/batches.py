"""CIFAR as its authors publish it: pickled batches, unpacked or in their archive."""

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.data.cache import Source, content_fingerprint
from mlplab.data.dataset import Dataset, Split, assemble, whole
from mlplab.data.pickles import read_batch
from mlplab.data.published import LARGEST, SHAPE, Published
from mlplab.errors import DataError
from mlplab.files import storage

CHUNK = 1 << 20
MEMBERS = 1000  # limit for an archive; the published ones have a dozen


def unpacked_source(folder: Path, kind: Published) -> Source | None:
    """Return the batches in ``folder``, or in the places that archives and Keras unpack them to."""
    for candidate in _batch_folders(folder, kind):
        names = (*kind.train_files, *kind.test_files, kind.meta_file)
        files = [candidate / name for name in names if (candidate / name).is_file()]
        return Source(
            partial(content_fingerprint, files, kind.name, "batches"),
            partial(_read_folder, candidate, kind),
        )
    return None


def archive_source(folder: Path, kind: Published) -> Source | None:
    """Return the published archive in ``folder``, under its own name or the one Keras uses."""
    for name in (kind.archive, f"{kind.folder}.tar.gz", f"{kind.folder}-target_archive"):
        path = folder / name
        if path.is_file():
            return Source(
                partial(content_fingerprint, [path], kind.name, "archive"),
                partial(_read_archive, path, kind),
            )
    return None


def _batch_folders(folder: Path, kind: Published) -> Iterator[Path]:
    names = (*kind.train_files, *kind.test_files)
    if all((folder / name).is_file() for name in names):
        yield folder
    # Keras has unpacked into `<folder>`, `<folder>-target/<folder>` and `<folder>_extracted/…`.
    for candidate in (folder / kind.folder, *sorted(folder.glob(f"{kind.folder}*/{kind.folder}"))):
        if any((candidate / name).is_file() for name in names):
            yield candidate


def _read_archive(path: Path, kind: Published) -> Dataset:
    with storage("a temporary folder"), tempfile.TemporaryDirectory(prefix="mlplab-") as folder:
        try:
            _unpack(path, Path(folder), kind)
            return _read_folder(Path(folder) / kind.folder, kind)
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise kind.damaged(path, error) from None
        except DataError as error:  # name the archive, not where it was unpacked
            raise DataError(str(error).replace(folder, str(path))) from None


def _unpack(path: Path, folder: Path, kind: Published) -> None:
    """Unpack the members that are read later, and only these."""
    names = (*kind.train_files, *kind.test_files, kind.meta_file)
    wanted = {f"{kind.folder}/{name}" for name in names}
    too_large = kind.unsuitable(path, f"it unpacks to more than {LARGEST:,} bytes")
    with gzip.open(path) as unpacked:
        stream = _Bounded(unpacked, too_large)
        # Uncompressed: another compression inside would be unpacked beyond the limit.
        with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
            for number, member in enumerate(archive):
                if number > MEMBERS or member.size > LARGEST:
                    raise too_large
                if member.size < 0:  # tarfile would follow it backwards forever
                    raise tarfile.ReadError("a member of negative size")
                if member.name in wanted and member.isreg():
                    archive.extract(member, folder, filter="data")
        # tarfile stops where the members end; gzip's checksum comes after that.
        while stream.read(CHUNK):
            pass


class _Bounded:
    """A file for tarfile that limits both its length and the size of a read."""

    def __init__(self, file: gzip.GzipFile, too_large: DataError) -> None:
        self.file = file
        self.too_large = too_large

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK or self.file.tell() > LARGEST:
            raise self.too_large
        return self.file.read(size)

    def seek(self, position: int) -> int:
        if position > LARGEST:
            raise self.too_large
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()


def _read_folder(folder: Path, kind: Published) -> Dataset:
    class_names = _class_names(folder / kind.meta_file, kind)
    return assemble(
        kind.name,
        class_names,
        _read_split(folder, kind.train_files, kind, len(class_names)),
        _read_split(folder, kind.test_files, kind, len(class_names)),
    )


def _class_names(path: Path, kind: Published) -> tuple[str, ...]:
    if not path.is_file():
        return kind.class_names
    names = read_batch(path, kind).get(kind.names_key)
    if not isinstance(names, list) or len(names) != len(kind.class_names):
        raise kind.unsuitable(path, f"it does not have {len(kind.class_names)} class names")
    if not all(isinstance(name, str | bytes) for name in names):
        raise kind.unsuitable(path, "its class names are not text")
    return tuple(
        name.decode(errors="replace") if isinstance(name, bytes) else name for name in names
    )


def _read_split(folder: Path, names: Sequence[str], kind: Published, classes: int) -> Split:
    images, labels = [], []
    for name in names:
        path = folder / name
        if not path.is_file():
            raise kind.unsuitable(folder, f"{name} is missing")
        batch = read_batch(path, kind)
        pixels = batch.get("data")
        numbers = _labels(batch.get(kind.labels_key), classes)
        if numbers is None:
            raise kind.unsuitable(path, f"its {kind.labels_key} are not numbers below {classes}")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise kind.unsuitable(path, "its pixels are not of 8 bits")
        if pixels.shape != (len(numbers), int(np.prod(SHAPE))):
            raise kind.unsuitable(path, f"{len(numbers)} labels, but pixels of {pixels.shape}")
        images.append(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(numbers)
    return whole(np.ascontiguousarray(np.concatenate(images)), np.concatenate(labels))


def _labels(values: Any, classes: int) -> NDArray[np.int32] | None:
    """Return the labels as int32 [n]; None if they are anything but class numbers."""
    flat = isinstance(values, list) and all(isinstance(value, int) for value in values)
    if not flat and not isinstance(values, np.ndarray):
        return None
    array = np.asarray(values)
    plain = array.ndim == 1 and array.dtype.kind in "iu"
    if not plain or (len(array) and (array.min() < 0 or array.max() >= classes)):
        return None
    return array.astype(np.int32)
