"""The user's own images: a folder for each class, or ``train/`` and ``test/`` with such."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlplab import memory
from mlplab.data import sources
from mlplab.data.cache import Source, Warn, decoded
from mlplab.data.dataset import Dataset, Split, assemble, whole
from mlplab.data.images import Shape, read_images
from mlplab.data.splits import check_sizes, hold_out
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

TEST_SEED = 0
"""Fixed: the choice of test images is a property of the data set, not of an experiment."""

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r", "@eadir", "__macosx"})

LAYOUT = "expected a folder of images for each class, or train/ and test/ with such folders"


@dataclass(frozen=True)
class Tree:
    """The files of one folder of class folders, sorted.

    Attributes:
        root: the folder.
        class_names: the names of its class folders.
        files: for each class, its files, at any depth.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]


def load(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return the images of ``settings.path``, each ``settings.image_size`` squared, in colour.

    Without a ``test/``, a share of ``settings.test`` of each class becomes the test split: the
    same images whatever the recipe's seed.

    Raises:
        DataError: the folder is missing or has fewer than two classes, or a class is empty,
            unreadable or too small for the splits.
    """
    root = Path(settings.path or "").expanduser()
    if not root.is_dir():
        raise DataError(f"data.path: there is no folder '{root}'; {LAYOUT}")
    shape = (settings.image_size, settings.image_size, 3)
    if not has_splits(root):
        tree = scan(root)
        held_out = ["test"] if settings.validation == "test" else ["validation", "test"]
        parts = ["train", *held_out]
        check_sizes(np.array([len(files) for files in tree.files]), tree.class_names, parts)
        return decoded(held_out_source(tree, shape, settings.test), warn)
    unused = [path.name for path in _listed(root) if path.name not in ("train", "test")]
    if unused:
        warn(f"{root} has train/ and test/; {', '.join(unused)} next to them is not used")
    trees = scan(root / "train"), scan(root / "test")
    return decoded(split_source("folder", *trees, shape), warn)


def has_splits(root: Path) -> bool:
    """Return whether ``root`` contains ``train/`` and ``test/``."""
    return (root / "train").is_dir() and (root / "test").is_dir()


def scan(root: Path) -> Tree:
    """List the images of a folder of class folders.

    Hidden and system files are left out. Links are followed, but never into a folder that is
    already being listed.

    Raises:
        DataError: there are fewer than two class folders, or one is empty.
    """
    try:
        folders = [path for path in _listed(root) if path.is_dir()]
        if len(folders) < 2:
            found = f"only '{folders[0].name}'" if folders else "no folders"
            raise DataError(f"{root} contains {found}, but at least 2 classes are needed; {LAYOUT}")
        home = _identity(root)
        files = tuple(tuple(_files(folder, {home, _identity(folder)})) for folder in folders)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    empty = [folder.name for folder, found in zip(folders, files, strict=True) if not found]
    if empty:
        raise DataError(f"{root}: no images in {', '.join(empty)}; add some or remove the folder")
    return Tree(root, tuple(folder.name for folder in folders), files)


def pictures(path: Path) -> list[Path]:
    """Return the files in a folder, at any depth, sorted; a path that is no folder by itself.

    Raises:
        DataError: the folder is empty or cannot be listed.
    """
    if not path.is_dir():
        return [path]
    try:
        found = list(_files(path, {_identity(path)}))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    if not found:
        raise DataError(f"{path} contains no files")
    return found


def split_source(name: str, train: Tree, test: Tree, shape: Shape) -> Source:
    """Return the data set whose test images are in a separate folder.

    Raises:
        DataError: the two folders have different classes.
    """
    different = sorted(set(train.class_names) ^ set(test.class_names))
    if different:
        raise DataError(
            f"{train.root} and {test.root} must have the same classes; only one of them has "
            f"{', '.join(different[:5])}{' …' if len(different) > 5 else ''}"
        )

    def read() -> Dataset:
        parts = {role: _read(tree, shape) for role, tree in (("train", train), ("test", test))}
        skipped = tuple(text for part in parts.values() for text in part.skipped)
        splits = parts["train"].split, parts["test"].split
        dataset = assemble(name, train.class_names, *splits, skipped)
        return sources.add(dataset, {role: part.files for role, part in parts.items()}, shape)

    return Source(partial(_fingerprint, (train, test), name, shape), read)


def held_out_source(tree: Tree, shape: Shape, share: float) -> Source:
    """Return the data set with a share of each class held out for testing."""

    def read() -> Dataset:
        read = _read(tree, shape)
        parts = ("train", "test")
        kept, tested = hold_out(read.split.labels, share, TEST_SEED, tree.class_names, parts)
        taken = read.split.take(kept), read.split.take(tested)
        dataset = assemble("folder", tree.class_names, *taken, read.skipped)
        return sources.add(dataset, {"train": read.files, "test": read.files}, shape)

    return Source(partial(_fingerprint, (tree,), shape, share, TEST_SEED), read)


def _listed(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in SYSTEM_FILES
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    for path in _listed(folder):
        if path.is_dir():
            identity = _identity(path)
            if identity not in seen:
                seen.add(identity)
                yield from _files(path, seen)
        elif path.is_file():  # neither pipes nor broken links
            yield path


def _fingerprint(trees: Sequence[Tree], *settings: object) -> str:
    """Return a fingerprint of the files from their names, sizes and times.

    Their content is not read: reading every photograph at every start would take longer than the
    cache saves.
    """
    facts = []
    for tree in trees:
        for path in (path for files in tree.files for path in files):
            try:
                status = path.stat()
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror}") from None
            name = path.relative_to(tree.root).as_posix()
            facts.append([name, status.st_size, status.st_mtime_ns])
    roots = [str(tree.root.resolve()) for tree in trees]
    return json.dumps([roots, facts, [str(setting) for setting in settings]])


@dataclass(frozen=True)
class Part:
    """The images of one tree that could be read, their files, and what is said of the others."""

    split: Split
    files: tuple[Path, ...]
    skipped: tuple[str, ...]


def _read(tree: Tree, shape: Shape) -> Part:
    """Read all images; those that cannot be read are named and left out."""
    paths = [path for files in tree.files for path in files]
    classes = np.repeat(np.arange(len(tree.files)), [len(files) for files in tree.files])
    size = len(paths) * math.prod(shape)
    advice = "Choose a smaller data.image_size."
    memory.check({"the decoded images": size}, advice, memory.available(), DataError)
    images = np.empty((len(paths), *shape), dtype=np.uint8)
    labels: list[int] = []
    files: list[Path] = []
    skipped: list[str] = []
    for path, label, image in zip(paths, classes, read_images(paths, shape), strict=True):
        if isinstance(image, DataError):
            name = os.fsencode(path.relative_to(tree.root.parent)).decode(errors="replace")
            skipped.append(f"{name}: {str(image).partition(' cannot be read: ')[2]}")
        else:
            images[len(labels)] = image
            labels.append(int(label))
            files.append(path)
    _check_readable(tree, labels, skipped)
    split = whole(images[: len(labels)], np.array(labels, dtype=np.int32))
    return Part(split, tuple(files), tuple(skipped))


def _check_readable(tree: Tree, labels: Sequence[int], skipped: Sequence[str]) -> None:
    unreadable: NDArray[np.intp] = np.flatnonzero(
        np.bincount(labels, minlength=len(tree.class_names)) == 0
    )
    if len(unreadable):
        name = tree.class_names[unreadable[0]]
        raise DataError(
            f"{tree.root}: none of the {len(tree.files[unreadable[0]])} files of class '{name}' "
            f"can be read as an image.\nThe first that failed: {skipped[0]}"
        )
