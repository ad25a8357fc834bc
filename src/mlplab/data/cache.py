"""A cache of decoded data on disk, so that only the first run decodes."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import files
from mlplab.cache import cache_dir, make_private, mark_used, tidy
from mlplab.data.dataset import Dataset, Split
from mlplab.data.repeats import repeats
from mlplab.errors import DataError, StorageError
from mlplab.files import atomic

FORMAT = 5
"""Incremented when the files' layout, or what a reader makes of the same bytes, changes."""

ARRAYS = ("validation", "repeats", "groups")
"""What a data set may have as arrays, besides its images."""
IMAGES = ("train", "test", "repeatable")  # only what can be read again is kept
FACTS = tuple(part.name for part in fields(Dataset) if part.name not in (*IMAGES, *ARRAYS))
"""What a data set has besides arrays."""

KEPT = 8
"""Number of decoded data sets kept, those used last; CIFAR-10 takes 184 MB."""

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A data set on disk that has not been decoded yet.

    Attributes:
        fingerprint: computes a value that changes when the decoded data would.
        read: decodes the data set.
    """

    fingerprint: Callable[[], str]
    read: Callable[[], Dataset]


def content_fingerprint(files: Sequence[Path], *settings: object) -> str:
    """Return a fingerprint of the files' names and content, and of the settings that matter.

    Raises:
        DataError: a file cannot be read.
    """
    digests = []
    for path in files:
        try:
            with path.open("rb") as file:
                digests.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return json.dumps([digests, [str(setting) for setting in settings]])


def status_fingerprint(path: Path) -> list[int]:
    """Return what changes when a file does: size, times and place on the disk.

    Its content is not read: reading every photograph at every start would take longer than the
    cache saves. A file that was exchanged for another of the same size and time has another inode,
    or was changed at another time.

    Raises:
        DataError: the file is not there, or cannot be reached.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def decoded(source: Source, warn: Warn) -> Dataset:
    """Return the decoded data of ``source``, from the cache if the source is unchanged.

    A damaged cache file is replaced silently: it holds nothing that the source does not. A cache
    that cannot be written only costs time, so it is a warning. Data of which a file was unreachable
    are not kept: the file may be there next time.

    Raises:
        DataError: the source cannot be decoded.
    """
    key = hashlib.sha256(f"{FORMAT} {source.fingerprint()}".encode()).hexdigest()
    folder = cache_dir() / "decoded"
    path = folder / f"{key}.npz"
    dataset = _read(path)
    if dataset is not None:
        return dataset
    dataset = source.read()
    dataset = replace(dataset, repeats=repeats(dataset.train, dataset.test))
    if not dataset.repeatable:
        return dataset
    try:
        make_private(folder)
        _write(path, dataset)
        tidy(folder, KEPT)
    except (OSError, StorageError) as error:
        warn(f"the decoded data were not cached, so the next run decodes them again: {error}")
    return dataset


def _write(path: Path, dataset: Dataset) -> None:
    facts = {key: getattr(dataset, key) for key in FACTS}
    arrays: dict[str, NDArray[Any]] = {
        "facts": np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    }
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        arrays |= {f"{name}_{part}": value for part, value in vars(split).items()}
    for key in ARRAYS:
        if (value := getattr(dataset, key)) is not None:
            arrays[key] = value
    with atomic(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _read(path: Path) -> Dataset | None:
    """Return the cached data set; None if there is none or its checksums do not agree."""
    try:
        arrays = files.arrays(path)
        facts = _immutable(json.loads(arrays["facts"].tobytes()))
        train, test = (
            Split(*(arrays[f"{split}_{part}"] for part in ("images", "labels", "index")))
            for split in ("train", "test")
        )
    except Exception:  # zip, npy and JSON each raise their own errors for damaged bytes
        return None
    mark_used(path)
    facts |= {key: arrays.get(key) for key in ARRAYS}
    return Dataset(train=train, test=test, **facts)


def _immutable(value: Any) -> Any:
    """Return JSON's lists, at any depth of tables, as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _immutable(part) for key, part in value.items()}
    return tuple(value) if isinstance(value, list) else value
