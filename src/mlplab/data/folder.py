"""The user's own images: a folder for each class, or folders of splits that contain such."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlplab import memory
from mlplab.data import sources
from mlplab.data.cache import Source, Warn, decoded, status_fingerprint
from mlplab.data.channels import Channels
from mlplab.data.dataset import Dataset, Split, whole
from mlplab.data.divide import TEST_SEED, by_index, divided
from mlplab.data.excluded import without
from mlplab.data.formats import rasters
from mlplab.data.images import Fit, Shape, UnreachableError, read_images
from mlplab.data.layout import understand
from mlplab.data.splits import check_sizes
from mlplab.data.trees import Tree, all_files, class_name, relative, same_classes, scan
from mlplab.data.understood import summary, unused
from mlplab.errors import DataError
from mlplab.files import expanded
from mlplab.recipes.recipe import Data


def load(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return the images of ``settings.path``, each ``settings.image_size`` squared.

    Without a test split, a share of ``settings.test`` of each class becomes the test split: the
    same images whatever the recipe's seed.

    Raises:
        DataError: the folder is missing, ambiguous or has fewer than two classes, or a class is
            empty, unreadable or too small for the splits.
    """
    root = expanded(settings.path or "")
    try:
        layout = understand(root)
        said = unused(root, layout, settings)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    wanted = set(map(class_name, settings.classes))
    trees = {role: scan(folder, wanted) for role, folder in layout.folders.items()}
    trees = same_classes(trees, wanted)
    dataset = load_trees(trees, root, settings, warn, wanted)
    places = {
        role: "" if folder == root else f"{relative(folder, root)}/"
        for role, folder in layout.folders.items()
    }
    for text in (*said, summary(root, places, settings, dataset)):
        warn(text)
    return dataset


def load_trees(
    trees: Mapping[str, Tree],
    root: Path,
    settings: Data,
    warn: Warn,
    wanted: Collection[str] = (),
    groups: Mapping[Path, str] | None = None,
) -> Dataset:
    """Return the user's images that these trees list, decoded as ``settings`` say.

    Args:
        trees: by split, with the same classes; at least ``train``.
        root: the folder that contains the files; their names are relative to it.
        settings: the recipe's ``[data]``.
        warn: as in :func:`mlplab.data.load`.
        wanted: classes that are needed, by default all.
        groups: of the training and validation files.

    Raises:
        DataError: a class is unreadable or too small for the splits.
    """
    trees = without(trees, root, settings, warn)
    _check_sizes(trees, wanted, settings)
    channels = settings.channels
    shape = (settings.image_size, settings.image_size, 1 if channels == 1 else 3)
    return decoded(
        source("folder", trees, shape, root, settings.test, wanted, channels, groups, settings.fit),
        warn,
    )


def pictures(path: Path) -> list[Path]:
    """Return the files in a folder, at any depth, sorted; a path that is no folder by itself.

    Raises:
        DataError: the folder is empty or cannot be listed.
    """
    if not path.is_dir():
        return [path]
    try:
        found = list(all_files(path))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    if not found:
        raise DataError(f"{path} contains no files")
    return found


def source(
    name: str,
    trees: Mapping[str, Tree],
    shape: Shape,
    root: Path,
    share: float = 0.0,
    wanted: Collection[str] = (),
    channels: Channels = 3,
    groups: Mapping[Path, str] | None = None,
    fit: Fit = "crop",
) -> Source:
    """Return the data set of these files.

    Args:
        name: of the data set.
        trees: by split, with the same classes; at least ``train``.
        shape: of its images.
        root: the folder that contains them; their names are relative to it.
        share: of the training images of each class that is held out for testing if there is no
            ``test``.
        wanted: classes that are needed, by default all. Others are left out if too few of their
            files can be read.
        channels: as in ``shape``; with ``"auto"``, which is read with three, one is left of images
            that are all grey.
        groups: of the training and validation files, of which each stays on one side of a split.
        fit: what is done about images of other proportions.
    """

    def read() -> Dataset:
        read = {role: _read(tree, root, shape, fit) for role, tree in trees.items()}
        class_names, parts = _usable(trees["train"].class_names, read, wanted)
        for role, part in parts.items():
            _check_readable(trees[role], class_names, part)
        files = by_index({role: part.files for role, part in parts.items()})
        dataset = divided(
            name,
            class_names,
            {role: part.split for role, part in parts.items()},
            share,
            channels,
            tuple(text for part in parts.values() for text, _ in part.skipped),
            None if groups is None else _numbered([groups[path] for path in files["train"]]),
        )
        repeatable = all(part.repeatable for part in parts.values())
        return replace(sources.add(dataset, files, root, shape, fit), repeatable=repeatable)

    facts = (name, shape, share, TEST_SEED, sorted(wanted), rasters(), channels, fit)
    return Source(partial(_fingerprint, trees, root, groups, *facts), read)


def _numbered(groups: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _check_sizes(trees: Mapping[str, Tree], wanted: Collection[str], settings: Data) -> None:
    """Refuse classes that are too small to hold images out, before anything is decoded."""
    if "test" in trees:
        return
    tree = trees["train"].of(wanted) if wanted else trees["train"]
    published = "validation" in trees or settings.validation == "test"
    left = ["train", "test"] if published else ["train", "validation", "test"]
    check_sizes(np.array([len(files) for files in tree.files]), tree.class_names, left)


def _fingerprint(
    trees: Mapping[str, Tree], root: Path, groups: Mapping[Path, str] | None, *settings: object
) -> str:
    """Return a fingerprint of the files and of the classes and groups that they are in."""
    facts: list[list[object]] = []
    for role, tree in trees.items():
        facts.append([role, str(tree.root.resolve()), *tree.class_names])
        for label, files in enumerate(tree.files):
            for path in files:
                name, group = path.relative_to(root).as_posix(), groups and groups.get(path)
                facts.append([name, label, group, *status_fingerprint(path)])
    return json.dumps([facts, [str(setting) for setting in settings]])


@dataclass(frozen=True)
class Part:
    """The images of one tree that could be read.

    Attributes:
        files: of these images.
        split: the images and labels, in the order of the files.
        skipped: for each other file, its name with the reason, and its label.
        repeatable: whether reading them again would give the same.
    """

    files: tuple[Path, ...]
    split: Split
    skipped: tuple[tuple[str, int], ...]
    repeatable: bool


def _read(tree: Tree, root: Path, shape: Shape, fit: Fit) -> Part:
    """Read all images; those that cannot be read are named and left out."""
    paths = [path for files in tree.files for path in files]
    classes = np.repeat(np.arange(len(tree.files)), [len(files) for files in tree.files]).tolist()
    size = len(paths) * math.prod(shape)
    advice = "Choose a smaller data.image_size."
    memory.check({"the decoded images": size}, advice, memory.available(), DataError)
    images = np.empty((len(paths), *shape), dtype=np.uint8)
    labels: list[int] = []
    files: list[Path] = []
    skipped: list[tuple[str, int]] = []
    repeatable = True
    for path, label, image in zip(paths, classes, read_images(paths, shape, fit), strict=True):
        if isinstance(image, DataError):
            reason = str(image).partition(" cannot be read: ")[2]
            skipped.append((f"{relative(path, root)}: {reason}", label))
            repeatable = repeatable and not isinstance(image, UnreachableError)
        else:
            images[len(labels)] = image
            labels.append(label)
            files.append(path)
    split = whole(images[: len(labels)], np.array(labels, dtype=np.int32))
    return Part(tuple(files), split, tuple(skipped), repeatable)


def _usable(
    class_names: Sequence[str], parts: Mapping[str, Part], wanted: Collection[str]
) -> tuple[tuple[str, ...], dict[str, Part]]:
    """Leave out classes that are not wanted and of which too little can be read."""
    least = {"train": 1 if "test" in parts else 2}  # the test images are held out of them
    few = np.zeros(len(class_names), dtype=bool)
    for role, part in parts.items():
        few |= np.bincount(part.split.labels, minlength=len(few)) < least.get(role, 1)
    unwanted = np.array([bool(wanted) and name not in wanted for name in class_names])
    if not (few & unwanted).any():
        return tuple(class_names), dict(parts)
    kept = np.flatnonzero(~(few & unwanted)).tolist()
    names = tuple(class_names[label] for label in kept)
    return names, {role: _of_labels(part, kept) for role, part in parts.items()}


def _of_labels(part: Part, kept: list[int]) -> Part:
    numbers = {label: number for number, label in enumerate(kept)}
    places = np.flatnonzero(np.isin(part.split.labels, kept))
    split = part.split
    labels = np.array([numbers[int(label)] for label in split.labels[places]], dtype=np.int32)
    return Part(
        tuple(part.files[place] for place in places),
        whole(split.images[places], labels),
        tuple((text, numbers[label]) for text, label in part.skipped if label in numbers),
        part.repeatable,
    )


def _check_readable(tree: Tree, class_names: Sequence[str], part: Part) -> None:
    present = np.bincount(part.split.labels, minlength=len(class_names))
    for label in np.flatnonzero(present == 0).tolist():
        reasons = [text for text, of in part.skipped if of == label]
        raise DataError(
            f"{tree.root}: none of the {len(reasons)} files of class '{class_names[label]}' "
            f"can be read as an image.\nThe first that failed: {reasons[0]}"
        )
