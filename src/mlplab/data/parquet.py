"""CIFAR in the Parquet layout of the Hugging Face hub: one or more files for each split."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import memory
from mlplab.data.cache import Source, content_fingerprint
from mlplab.data.dataset import Dataset, Split, assemble, whole
from mlplab.data.images import opened
from mlplab.data.published import LARGEST, SHAPE, Published
from mlplab.errors import DataError

IMAGE_COLUMNS = ("img", "image")
FORMATS = ("PNG", "WEBP", "JPEG")  # not trying others saves a third of the time
ROWS_AT_A_TIME = 100
LARGEST_METADATA = 1_000_000  # bytes; the names of 100 classes take 2,000
LARGEST_IMAGE = 100_000  # bytes, encoded; one of 32×32 takes 3,000


def source(folder: Path, kind: Published) -> Source | None:
    """Return the Parquet files in ``folder``, or in the subfolder that the hub uses."""
    for base in (folder, folder / "plain_text", folder / "data", folder / kind.name):
        train, test = (sorted(base.glob(f"{split}-*.parquet")) for split in ("train", "test"))
        if not train and not test:
            continue
        for split, files in (("train", train), ("test", test)):
            _check_complete(base, split, files, kind)
        return Source(
            partial(content_fingerprint, [*train, *test], kind.name, "parquet"),
            partial(_read, train, test, kind),
        )
    return None


def _check_complete(base: Path, split: str, files: Sequence[Path], kind: Published) -> None:
    """Refuse a copy that lacks a file: ``train-00000-of-00002`` says that there are two."""
    expected = stated_files(files) or 1
    if len(files) != expected:
        raise DataError(
            f"{base} holds {len(files)} of {expected} files {split}-*.parquet of {kind.name}.\n"
            "Copy what is missing there, or remove the others."
        )


def stated_files(files: Sequence[Path]) -> int:
    """Return how many files of a split there are, as their names say; 0 if they do not."""
    stated = [re.search(r"-of-(\d+)", path.name) for path in files]
    return max((int(match[1]) for match in stated if match), default=0)


def _read(train: Sequence[Path], test: Sequence[Path], kind: Published) -> Dataset:
    import pyarrow as pa  # slower than reading the cache, which does not need it
    from pyarrow.parquet import ParquetFile

    tables = {}
    for path in (*train, *test):
        try:
            tables[path] = ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise kind.damaged(path, error) from None
    class_names = _class_names(train[0], tables[train[0]].schema_arrow, kind)
    train_split, test_split = (
        _read_split({path: tables[path] for path in files}, len(class_names), kind)
        for files in (train, test)
    )
    return assemble(kind.name, class_names, train_split, test_split)


def _class_names(path: Path, schema: Any, kind: Published) -> tuple[str, ...]:
    """Return the names in the file's metadata, or else the published ones."""
    try:
        if len(schema.metadata[b"huggingface"]) > LARGEST_METADATA:
            raise kind.unsuitable(path, "its description is too long")
        metadata = json.loads(schema.metadata[b"huggingface"])
        names = metadata["info"]["features"][kind.column]["names"]
        words = tuple(name for name in names if isinstance(name, str))
    except (TypeError, KeyError, ValueError, RecursionError):
        return kind.class_names
    if len(words) != len(names) or len(words) != len(kind.class_names):
        raise kind.unsuitable(path, f"it names {len(words)} classes")
    return words


def _read_split(tables: dict[Path, Any], classes: int, kind: Published) -> Split:
    for path, table in tables.items():
        _check_size(path, table.metadata, kind)
    total = sum(table.metadata.num_rows for table in tables.values())
    size = {f"{total:,} images": total * math.prod(SHAPE)}
    advice = f"{next(iter(tables))} is not a file of {kind.name}; fetch it again."
    memory.check(size, advice, memory.available(), DataError)
    images = np.empty((total, *SHAPE), dtype=np.uint8)
    labels = np.empty(total, dtype=np.int32)
    row = 0
    for path, table in tables.items():
        for encoded, numbers in _rows(path, table, kind):
            if row + len(encoded) > total or len(encoded) != len(numbers):
                raise kind.unsuitable(path, "it has more rows than it declares")
            if len(numbers) and (numbers.min() < 0 or numbers.max() >= classes):
                raise kind.unsuitable(path, f"it has labels outside 0 to {classes - 1}")
            labels[row : row + len(numbers)] = numbers
            # In one thread: with images this small the interpreter is most of the work, and a
            # second thread made 60,000 of them no faster (4.0 s against 4.2 s).
            for content in encoded:
                images[row] = _pixels(content, f"image {row} of {path}", path, kind)
                row += 1
    if row != total:
        raise kind.unsuitable(next(iter(tables)), f"it declares {total} rows but has {row}")
    return whole(images, labels)


def _check_size(path: Path, metadata: Any, kind: Published) -> None:
    """Refuse small files that unpack to gigabytes, such as of the same byte."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    if sum(max(0, column.total_uncompressed_size) for column in columns) > LARGEST:
        raise kind.unsuitable(path, f"it unpacks to more than {LARGEST:,} bytes")


def _rows(path: Path, table: Any, kind: Published) -> Iterator[tuple[list[Any], NDArray[np.int64]]]:
    """Yield encoded images and labels, some at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.parquet import ParquetFile

    image_column = _check_columns(path, table.schema_arrow, kind)
    try:
        # A value that rows share is in the file once, but would be in memory for each row.
        table = ParquetFile(path, read_dictionary=[f"{image_column}.bytes"])
        for batch in table.iter_batches(ROWS_AT_A_TIME, columns=[image_column, kind.column]):
            numbers = batch.column(kind.column)
            if numbers.null_count:
                raise kind.unsuitable(path, f"its column {kind.column} has missing values")
            encoded = batch.column(image_column).field("bytes")
            lengths = pc.binary_length(encoded.dictionary)
            if (pc.max(lengths).as_py() or 0) > LARGEST_IMAGE:
                raise kind.unsuitable(path, "its images are too large")
            yield encoded.to_pylist(), numbers.to_numpy(zero_copy_only=False)
    except (pa.ArrowException, OSError) as error:
        raise kind.damaged(path, error) from None


def _check_columns(path: Path, schema: Any, kind: Published) -> str:
    """Return the name of the column of images."""
    import pyarrow as pa

    if len(set(schema.names)) < len(schema.names):
        raise kind.unsuitable(path, "it has two columns of the same name")
    types = dict(zip(schema.names, schema.types, strict=True))
    image_column = next((name for name in IMAGE_COLUMNS if name in types), None)
    if image_column is None or kind.column not in types:
        raise kind.unsuitable(
            path, f"it should have the columns img and {kind.column}, but has {', '.join(types)}"
        )
    # A string in their place would be taken for the path of a file.
    image_type = types[image_column]
    encoded = pa.types.is_struct(image_type) and image_type.get_field_index("bytes") >= 0
    if not encoded or image_type.field("bytes").type not in (pa.binary(), pa.large_binary()):
        raise kind.unsuitable(path, f"its column {image_column} has no encoded images")
    if not pa.types.is_integer(types[kind.column]):
        raise kind.unsuitable(path, f"its column {kind.column} has no whole numbers")
    return image_column


def _pixels(content: bytes | None, name: str, path: Path, kind: Published) -> NDArray[np.uint8]:
    """Decode an image, which must have CIFAR's size: scaling it would change the data set."""
    if content is None:
        raise kind.unsuitable(path, f"{name} is missing from it")
    try:
        with opened(content, name, FORMATS) as image:
            if image.size == SHAPE[:2] and image.mode == "RGB":
                return np.frombuffer(image.tobytes(), dtype=np.uint8).reshape(SHAPE)
            reason = f"{name} is {image.mode} of {image.width}×{image.height}, not RGB of 32×32"
    except DataError as error:
        raise kind.damaged(path, error) from None
    raise kind.unsuitable(path, reason)
