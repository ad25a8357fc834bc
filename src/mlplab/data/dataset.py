"""Labelled images in splits: the values that the whole project passes around."""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import DataError, nearest
from mlplab.text import line


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images.

    Attributes:
        images: uint8 [n, height, width, channels], pixels from 0 to 255.
        labels: int32 [n], positions in the data set's class names.
        index: int64 [n], the position of each image in the published split that it came from.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: NDArray[np.int64]) -> "Split":
        """Return a copy of the images at ``positions`` (int64 [m]); ``index`` goes with them."""
        return Split(self.images[positions], self.labels[positions], self.index[positions])


class Values(NamedTuple):
    """What pixels stand for in the arrays of a program: scale * pixel + offset.

    Attributes:
        scale: of a pixel.
        offset: added to it.
        shape: of an example in the arrays.
    """

    scale: float
    offset: float
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it was published (or laid out in a folder): training and test images.

    Attributes:
        name: the name that a recipe gives it.
        class_names: the meaning of the labels.
        train: the published training split, before validation images are taken from it.
        test: the test split.
        data_id: ``sha256:…`` over the shapes, pixels, labels and class names, in their order.
        skipped: the files that could not be read, as ``"relative/path: reason"``.
        validation: int64, ``index`` of those training images that were published as a validation
            split; ``None`` if there is none.
        files: for ``train`` and ``test``, the name of each image's file, by ``index``; empty if
            the images are not in files of their own.
        digests: likewise, the SHA-256 of each file.
        cropped: the files of which less than half is left in the image.
        repeats: the images that occur more than once, see :mod:`mlplab.data.repeats`; ``None`` if
            they have not been looked for.
        repeatable: whether reading it again would give the same: not if a file was unreachable.
        groups: int64, by ``index``, the group of each training image, such as a patient; ``None``
            if there are none. Images of one group stay on one side of every split.
        values: of the arrays of a program, what their pixels stand for.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    data_id: str
    skipped: tuple[str, ...] = ()
    validation: NDArray[np.int64] | None = None
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    digests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cropped: tuple[str, ...] = ()
    repeats: NDArray[np.int64] | None = None
    repeatable: bool = True
    groups: NDArray[np.int64] | None = None
    values: Values | None = None

    def image_name(self, split: str, index: int) -> str:
        """Return the file of an image, or its position in the split "train" or "test"."""
        names = self.files.get(split, ())
        return names[index] if index < len(names) else f"{split} image {index}"

    @cached_property
    def source_id(self) -> str:
        """``sha256:…`` over the image files, labels, splits and class names, in their order.

        It is the same whatever size the images are decoded to. A published data set is the same
        in every layout, so there it is the ``data_id``.
        """
        if self.values is not None:  # a network that was passed with the arrays sees these
            text = json.dumps([self.data_id, self.values])
            return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        if not self.digests or self.name != "folder":
            return self.data_id
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for name, split in (("train", self.train), ("test", self.test)):
            facts = [(self.digests[name][i], label) for i, label in _pairs(split)]
            digest.update(json.dumps([name, facts]).encode())
        if self.validation is not None:
            held_out = np.flatnonzero(np.isin(self.train.index, self.validation))
            digest.update(json.dumps(["validation", held_out.tolist()]).encode())
        if self.groups is not None:
            digest.update(json.dumps(["groups", self.groups[self.train.index].tolist()]).encode())
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class Download:
    """Where the published files of a data set are.

    Attributes:
        base_url: the folder on the web that has the files.
        md5: of each file by its name, as its authors state it.
    """

    base_url: str
    md5: dict[str, str]


@dataclass(frozen=True, eq=False)
class Splits:
    """The images for training, for choices, and for the final evaluation."""

    train: Split
    validation: Split
    test: Split


def whole(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Split:
    """Return all of these images and labels, in order, as a split."""
    return Split(images, labels, np.arange(len(labels), dtype=np.int64))


def assemble(
    name: str,
    class_names: tuple[str, ...],
    train: Split,
    test: Split,
    skipped: tuple[str, ...] = (),
    validation: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Dataset:
    """Return the data set of these splits, with its ``data_id`` and names safe to display.

    ``validation`` are the ``index`` of the training images that are its validation split;
    ``groups`` has the group of each training image, by ``index``.
    """
    class_names, skipped = tuple(map(line, class_names)), tuple(map(line, skipped))
    data_id = _data_id(class_names, train, test, validation=validation, groups=groups)
    return Dataset(name, class_names, train, test, data_id, skipped, validation, groups=groups)


def of_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return the images of some classes, relabelled in the data set's own order.

    Args:
        dataset: with these classes and others.
        names: of the classes to keep; at least two.

    Raises:
        DataError: if there is no such class, or only one is named.
    """
    names = [unicodedata.normalize("NFC", name) for name in names]
    for name in names:
        if name not in dataset.class_names:
            raise DataError(
                f"data.classes: {dataset.name} has no class '{name}'"
                f"{nearest(name, dataset.class_names)}"
            )
    kept = [label for label, name in enumerate(dataset.class_names) if name in names]
    if len(kept) < 2:
        raise DataError("data.classes: a network needs at least two classes; name more")
    renumbered = np.full(len(dataset.class_names), -1, np.int32)
    renumbered[kept] = np.arange(len(kept))

    def taken(split: Split) -> Split:
        part = split.take(np.flatnonzero(np.isin(split.labels, kept)))
        return replace(part, labels=renumbered[part.labels])

    class_names = tuple(dataset.class_names[label] for label in kept)
    train, test = taken(dataset.train), taken(dataset.test)
    part = assemble(
        dataset.name,
        class_names,
        train,
        test,
        dataset.skipped,
        validation=dataset.validation,
        groups=dataset.groups,
    )
    return replace(
        part,
        files=dataset.files,
        digests=dataset.digests,
        cropped=dataset.cropped,
        repeats=dataset.repeats,
        repeatable=dataset.repeatable,
        values=dataset.values,
    )


def _pairs(split: Split) -> list[tuple[int, int]]:
    """Return index and label of each image."""
    return list(zip(split.index.tolist(), split.labels.tolist(), strict=True))


def _data_id(
    class_names: tuple[str, ...],
    *splits: Split,
    validation: NDArray[np.int64] | None,
    groups: NDArray[np.int64] | None,
) -> str:
    shapes = [split.images.shape for split in splits]
    digest = hashlib.sha256(json.dumps([shapes, class_names]).encode())
    for split in splits:
        digest.update(np.ascontiguousarray(split.images).data)
        # Little-endian everywhere, so that the same data have the same id on every machine.
        digest.update(np.ascontiguousarray(split.labels, dtype="<i4").data)
    if validation is not None:
        held_out = np.isin(splits[0].index, validation)
        digest.update(b"validation" + np.packbits(held_out).tobytes())
    if groups is not None:
        digest.update(b"groups" + groups[splits[0].index].astype("<i8").tobytes())
    return f"sha256:{digest.hexdigest()}"
