"""Image files of a folder that a training is better off without. Nothing is changed or removed."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlplab import files
from mlplab.data.dataset import Dataset
from mlplab.data.similar import near

REASONS = ("unreadable", "duplicate", "near duplicate", "label")


class Found(NamedTuple):
    """A file, why it is listed, and in other words.

    Attributes:
        file: its name, relative to the folder.
        reason: one of ``REASONS``.
        detail: what is wrong, or which file it repeats.
    """

    file: str
    reason: str
    detail: str


def unreadable(dataset: Dataset) -> list[Found]:
    """Return the files that could not be read."""
    parts = (text.partition(": ") for text in dataset.skipped)
    return [Found(name, "unreadable", why) for name, _, why in parts]


def duplicates(dataset: Dataset) -> list[Found]:
    """Return the files that show the same picture as another one, which is kept.

    Of several that look the same, one of a published test split is kept, and otherwise the first.
    So no training image gives away an answer.

    Args:
        dataset: of grey images of :data:`mlplab.data.similar.SIDE` pixels, from files.
    """
    names, digests, labels = [], [], []
    for role, split in (("test", dataset.test), ("train", dataset.train)):
        names += [dataset.files[role][index] for index in split.index.tolist()]
        digests += [dataset.digests[role][index] for index in split.index.tolist()]
        labels += split.labels.tolist()
    pictures = np.concatenate([dataset.test.images, dataset.train.images])[..., 0]
    found: dict[int, Found] = {}
    for reason, pairs in (("duplicate", _repeated(digests)), ("near duplicate", near(pictures))):
        for kept, other in pairs:
            if kept in found:  # left out itself: of pictures in a row, some have to stay
                continue
            detail = f"of {names[kept]}"
            if labels[kept] != labels[other]:
                detail += f", which is of another class, {dataset.class_names[labels[kept]]}"
            found.setdefault(other, Found(names[other], reason, detail))
    return [found[place] for place in sorted(found)]


def doubted(rows: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Return the files whose labels the networks of all folds doubt.

    Args:
        rows: of :data:`mlplab.report.folds.COLUMNS`.
    """
    return [
        Found(
            row["file"],
            "label",
            f"{row['label']}, predicted as {row['predicted']} with a probability of"
            f" {float(row['predicted_probability']):.2f}",
        )
        for row in rows
    ]


def write(found: Sequence[Found], path: Path) -> None:
    """Write a list that ``data.exclude`` takes.

    Raises:
        StorageError: if it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Found._fields)
    writer.writerows(found)
    files.write_text(path, text.getvalue())


def _repeated(digests: Iterable[str]) -> list[tuple[int, int]]:
    """Return the first and each later position of equal digests."""
    first: dict[str, int] = {}
    return [
        (first[digest], place)
        for place, digest in enumerate(digests)
        if first.setdefault(digest, place) != place
    ]
