"""What a folder of images was understood to be, in words."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlplab.data.dataset import Dataset
from mlplab.data.info import labels_by_split
from mlplab.data.layout import Layout, loose_images
from mlplab.data.trees import class_name, relative
from mlplab.recipes.recipe import Data
from mlplab.text import counted, line

NAMED = 5
"""Classes or files that a note names."""


def summary(root: Path | str, places: Mapping[str, str], settings: Data, dataset: Dataset) -> str:
    """Return the splits, classes and numbers of images in one line.

    Args:
        root: what the user named.
        places: for each split that has one, its place in there, such as ``train/``; may be empty.
        settings: the recipe's ``[data]``.
        dataset: as it was read.
    """
    wanted = set(map(class_name, settings.classes))
    labels = [n for n, name in enumerate(dataset.class_names) if not wanted or name in wanted]
    found = labels_by_split(dataset)
    used = {role: int(np.isin(given, labels).sum()) for role, given in found.items()}
    purposes = {"train": "training", "validation": "validation", "test": "testing"}
    if settings.validation == "test":
        purposes["test"] = "validation and testing"
        used.pop("validation", None)
    elif settings.fold is not None:
        used["train"] += used.pop("validation", 0)
        purposes["train"] = "training and validation"
    elif "validation" not in used:
        purposes["train"] = "training and validation"
    texts = []
    for role, count in used.items():
        place = places.get(role, "held out")
        text = f"{images(count)} for {purposes[role]}"
        texts.append(f"{text} ({place})" if place else text)
    names = listing([dataset.class_names[label] for label in labels])
    grey = ""
    if settings.channels == "auto" and dataset.train.images.shape[-1] == 1:
        grey = "; all are grey, so they have 1 channel"
    return f"{line(str(root))} has {', '.join(texts)}, in {len(labels)} classes: {names}{grey}"


def unused(root: Path, layout: Layout, settings: Data) -> list[str]:
    """Return a line about each kind of folder or image that is not used.

    Raises:
        OSError: a folder cannot be listed.
    """
    said = []
    folders = list(layout.unused)
    if settings.validation == "test" and "validation" in layout.folders:
        folders.append(layout.folders["validation"].name)
    if folders:
        said.append(f"not used beside the splits in {line(str(root))}: {listing(folders)}")
    loose = [path for folder in above(root, layout) for path in loose_images(folder)]
    if loose:
        names = listing([relative(path, root) for path in loose])
        said.append(f"not used because they are in no class folder: {images(len(loose))}, {names}")
    return said


def above(root: Path, layout: Layout) -> list[Path]:
    """Return the folders whose own images belong to no class: from ``root`` to the classes."""
    found = {root}
    for folder in layout.folders.values():
        found |= {path for path in (folder, *folder.parents) if path.is_relative_to(root)}
    return sorted(found)


def images(count: int) -> str:
    """Return a number of images as text."""
    return counted(count, "image")


def listing(names: list[str]) -> str:
    """Return the first names and, if there are others, an ellipsis."""
    return ", ".join(map(line, names[:NAMED])) + (", …" if len(names) > NAMED else "")
