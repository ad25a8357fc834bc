"""The user's own images in Parquet files, in the layout of the Hugging Face hub."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import memory
from mlplab.data.cache import Source, Warn, decoded, status_fingerprint
from mlplab.data.dataset import Dataset, whole
from mlplab.data.divide import TEST_SEED, by_index, divided
from mlplab.data.formats import rasters
from mlplab.data.hub import SCHEME
from mlplab.data.images import Fit, Shape, read_images
from mlplab.data.layout import IMAGES as ENDINGS
from mlplab.data.layout import ROLES, folders, listed, split_name
from mlplab.data.parquet import stated_files
from mlplab.data.parquet_columns import class_names_of, columns_of
from mlplab.data.sources import is_mostly_cut
from mlplab.data.trees import all_files, relative
from mlplab.data.understood import summary
from mlplab.errors import DataError, first_line
from mlplab.recipes.recipe import Data
from mlplab.text import line

DEEPEST = 3
"""Folders between the named one and its files, as in ``default/train/0000.parquet``."""

ROWS_AT_A_TIME = 100
LARGEST_IMAGE = 2**25
"""Bytes, encoded. A photograph takes up to 20 MB; a file can have one image in all its rows."""

Roles = dict[str, list[Path]]


def are_in(folder: Path) -> bool:
    """Return whether a folder has Parquet files and no image files, which may have tables too."""
    found = next(_files(folder), None) is not None
    return found and not any(path.suffix[1:].lower() in ENDINGS for path in all_files(folder))


def load(path: Path, settings: Data, warn: Warn) -> Dataset:
    """Return the images of a Parquet file, or of a folder of them.

    Splits are recognised by the names of files and of the folders that they are in.

    Raises:
        DataError: a file is missing or damaged, splits or columns are ambiguous, or a class is too
            small.
    """
    root = path if path.is_dir() else path.parent
    roles = {"train": [path]} if path.is_file() else _roles(root, sorted(_files(path)))
    side = settings.image_size
    shape = (side, side, 1 if settings.channels == 1 else 3)

    def fingerprint() -> str:
        facts = [
            [role, str(file.resolve()), *status_fingerprint(file)]
            for role, found in roles.items()
            for file in found
        ]
        choices = shape, settings.test, settings.channels, settings.fit, TEST_SEED, rasters()
        return json.dumps([facts, "parquet", choices])

    dataset = decoded(Source(fingerprint, partial(_read, root, roles, shape, settings)), warn)
    place = settings.path or ""
    title = place if place.startswith(SCHEME) else path
    used = {name.rpartition(" row ")[0] for names in dataset.files.values() for name in names}
    places = {}
    for role, found in roles.items():
        names = [relative(file, root) for file in found]
        if used.isdisjoint(names):
            warn(f"the {role} split of {line(str(title))} is not used: it has no labels")
        else:
            places[role] = names[0] if len(names) == 1 else f"{names[0]}, …"
    warn(summary(title, places, settings, dataset))
    return dataset


def _files(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    yield from (path for path in listed(folder) if path.suffix.lower() == ".parquet")
    for inner in folders(folder) if depth else ():
        yield from _files(inner, depth - 1)


def _roles(root: Path, found: Sequence[Path]) -> Roles:
    """Return the files by split; all of them are for training if no name says otherwise."""
    named = {path: _role(path, root) for path in found}
    if len({_configuration(path, root) for path in found}) > 1:
        names = ", ".join(sorted({line(_configuration(path, root)) or "." for path in found})[:3])
        raise DataError(
            f"{root} has Parquet files of several data sets: {names}; give one of them as data.path"
        )
    if not any(named.values()):
        named = dict.fromkeys(found, "train")
    roles: Roles = {}
    for role in ROLES:
        if files := [path for path, of in named.items() if of == role]:
            roles[role] = files
    without = [relative(path, root) for path, role in named.items() if role is None]
    if without:
        raise DataError(
            f"{root}: {without[0]} is of no split, but others are; expected names such as"
            " train-00000-of-00001.parquet"
        )
    if "train" not in roles:
        raise DataError(f"{root} has no training split: expected train-*.parquet")
    for role, files in roles.items():
        if len(files) != (expected := stated_files(files) or len(files)):
            raise DataError(f"{root} has {len(files)} of {expected} files of its {role} split")
    return roles


def _role(path: Path, root: Path) -> str | None:
    """Return the split that the name of a file, or of a folder above it, says."""
    names = [path.stem.partition("-of-")[0], *(p.name for p in path.parents if p != root)]
    below = len(path.relative_to(root).parts)
    found = (split_name(name) for name in names[:below])
    return next((name.role for name in found if name is not None), None)


def _configuration(path: Path, root: Path) -> str:
    """Return the folder of a data set: the one above its files, without that of a split."""
    parts = path.parent.relative_to(root).parts
    return "/".join(part for part in parts if split_name(part) is None)


@dataclass
class Rows:
    """The images of a split.

    Attributes:
        images: uint8 [height, width, channels] each.
        values: what the column of labels has for each.
        names: of the images, for display.
        digests: SHA-256 of each encoded image.
        skipped: images that cannot be read, with the reason.
        cropped: names of those of which less than half is left.
    """

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    cropped: list[str] = field(default_factory=list)


def _read(root: Path, roles: Roles, shape: Shape, settings: Data) -> Dataset:
    tables = {file: _opened(file) for found in roles.values() for file in found}
    first = roles["train"][0]
    image, label = columns_of(first, tables[first].schema_arrow)
    names = class_names_of(tables[first].schema_arrow, label)
    count = sum(table.metadata.num_rows for table in tables.values())
    size = {"the decoded images": 2 * count * int(np.prod(shape))}
    memory.check(size, "Choose a smaller data.image_size.", memory.available(), DataError)
    parts: dict[str, Rows] = {}
    for role, found in roles.items():
        rows = Rows()
        for file in found:
            if columns_of(file, tables[file].schema_arrow) != (image, label):
                raise DataError(f"{file} has other columns than {first}")
            _add(rows, file, root, image, label, shape, settings.fit)
        if not rows.images:
            reason = rows.skipped[0] if rows.skipped else "it is empty"
            raise DataError(f"{root}: no image of the {role} split can be read\nFirst: {reason}")
        if role == "train" or any(map(_known, rows.values)):
            parts[role] = rows
    class_names, numbers = _labels(first, label, names, parts)
    splits = {role: whole(np.stack(rows.images), numbers[role]) for role, rows in parts.items()}
    skipped = tuple(text for rows in parts.values() for text in rows.skipped)
    dataset = divided("folder", class_names, splits, settings.test, settings.channels, skipped)
    return replace(
        dataset,
        files=by_index({role: rows.names for role, rows in parts.items()}),
        digests=by_index({role: rows.digests for role, rows in parts.items()}),
        cropped=tuple(name for rows in parts.values() for name in rows.cropped),
    )


def _opened(path: Path) -> Any:
    import pyarrow as pa  # slower than reading the cache, which does not need it
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or no Parquet file: {first_line(error)}")


def _add(
    rows: Rows, path: Path, root: Path, image: str, label: str, shape: Shape, fit: Fit
) -> None:
    """Add the images of a file; those that cannot be read are named and left out."""
    number, file = 0, relative(path, root)
    for encoded, values in _batches(path, image, label):
        contents = [content or b"" for content in encoded]
        names = [f"{file} row {number + n}" for n in range(len(contents))]
        number += len(contents)
        found = read_images(contents, shape, fit, names)
        for pixels, content, value, name in zip(found, contents, values, names, strict=True):
            if isinstance(pixels, DataError):
                rows.skipped.append(str(pixels).replace(" cannot be read", "", 1))
                continue
            rows.images.append(pixels)
            rows.values.append(value)
            rows.names.append(name)
            rows.digests.append(hashlib.sha256(content).hexdigest())
            if is_mostly_cut(content, shape, fit):
                rows.cropped.append(name)


def _batches(path: Path, image: str, label: str) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield encoded images and labels, some at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.parquet import ParquetFile

    try:
        in_struct = pa.types.is_struct(_opened(path).schema_arrow.field(image).type)
        # A value that rows share is in the file once, but would be in memory for each row.
        table = ParquetFile(path, read_dictionary=[f"{image}.bytes" if in_struct else image])
        for batch in table.iter_batches(ROWS_AT_A_TIME, columns=[image, label]):
            column = batch.column(image)
            encoded = column.field("bytes") if in_struct else column
            if (pc.max(pc.binary_length(encoded.dictionary)).as_py() or 0) > LARGEST_IMAGE:
                raise DataError(f"{path} has images of more than {LARGEST_IMAGE:,} bytes")
            yield encoded.to_pylist(), batch.column(label).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _known(value: Any) -> bool:
    """Return whether a label is one; the hub writes -1 for those that are kept secret."""
    return value is not None and value != -1


def _labels(
    path: Path, label: str, names: tuple[str, ...] | None, parts: Mapping[str, Rows]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int32]]]:
    """Return the names of the classes, and labels int32 [n] by split."""
    values = {value for rows in parts.values() for value in rows.values}
    if not all(map(_known, values)):
        raise DataError(f"{path}: some images have no {line(label)}; leave them out of the file")
    if names is not None and values <= set(range(len(names))):
        number = {value: value for value in range(len(names))}
    else:
        number = {value: position for position, value in enumerate(sorted(values))}
        names = tuple(map(str, number))
    if len(number) < 2:
        raise DataError(f"{path}: column {line(label)} has {len(number)} class; 2 are needed")
    labels = {
        role: np.array([number[value] for value in rows.values], np.int32)
        for role, rows in parts.items()
    }
    present = np.bincount(labels["train"], minlength=len(names))
    if lacking := [name for name, count in zip(names, present, strict=True) if not count]:
        raise DataError(
            f"{path}: there are no readable training images of class {line(lacking[0])}"
        )
    return names, labels
