"""The user's own images as arrays in a NumPy archive."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlplab import files, memory
from mlplab.data.cache import Source, Warn, decoded, status_fingerprint
from mlplab.data.dataset import Dataset, Split, whole
from mlplab.data.divide import divided
from mlplab.data.understood import summary
from mlplab.errors import DataError, first_line
from mlplab.recipes.recipe import Data
from mlplab.text import line

KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
"""Names of images and labels by split: those of Keras's examples, and those of MedMNIST."""

UNDIVIDED = (("x", "y"), ("images", "labels"))
"""Names of images and labels that are not divided into splits."""

NAMES = "class_names"
EXPECTED = (
    "x_train, y_train, x_test and y_test, or train_images, train_labels, … of MedMNIST,"
    " or images and labels"
)
AT_A_TIME = 1024
"""Images that are checked and converted together, in numbers of eight bytes."""

Arrays = Mapping[str, NDArray[Any]]


def load(path: Path, settings: Data, warn: Warn) -> Dataset:
    """Return the images of a ``.npz`` file in the size that they have.

    Raises:
        DataError: the file is damaged, lacks arrays, or has images or labels that cannot be read
            without loss.
    """

    def fingerprint() -> str:
        facts = str(path.resolve()), *status_fingerprint(path)
        return json.dumps([*facts, settings.test, settings.channels])

    dataset = decoded(Source(fingerprint, partial(_read, path, settings)), warn)
    places = {role: "" for role in KEYS if role != "test" or _has_test(path)}
    warn(summary(path, places, settings, dataset))
    height, width = dataset.train.images.shape[1:3]
    if settings.image_size not in (height, Data.model_fields["image_size"].default):
        warn(f"data.image_size does not apply to arrays: these images have {height}×{width} pixels")
    return dataset


def _read(path: Path, settings: Data) -> Dataset:
    arrays = _arrays(path)
    try:
        pairs = _pairs(arrays)
        images = _images({role: arrays[pair[0]] for role, pair in pairs.items()})
        given = {role: flat(arrays[pair[1]]) for role, pair in pairs.items()}
        for role, (name, other) in pairs.items():
            counts = len(images[role]), len(given[role])
            if counts[0] != counts[1]:
                raise DataError(
                    f"{name} has {counts[0]:,} images, but {other} {counts[1]:,} labels"
                )
        labels, class_names = named_labels(given, arrays.get(NAMES))
        parts = {role: whole(pixels, labels[role]) for role, pixels in images.items()}
        check_classes(parts, class_names)
    except (DataError, UnicodeError) as error:
        raise DataError(f"{path}: {error}") from None
    return divided("folder", class_names, parts, settings.test, settings.channels)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
        memory.check(
            {"its arrays": 2 * size}, f"{path} is too large.", memory.available(), DataError
        )
        return {name.lower(): array for name, array in files.arrays(path).items()}
    except DataError:
        raise
    except Exception as error:  # a damaged zip can raise nearly anything
        reason = first_line(error)
        if "allow_pickle" in reason:
            reason = "it has arrays of Python objects, which are not read"
        raise DataError(f"{path} is damaged or no NumPy archive: {reason}") from None


def _pairs(names: Arrays) -> dict[str, tuple[str, str]]:
    """Return the names of images and labels by split."""
    found: dict[str, tuple[str, str]] = {}
    choices = [*((role, pair) for role, pairs in KEYS.items() for pair in pairs)]
    choices += [("train", pair) for pair in UNDIVIDED]
    for role, pair in choices:
        there = [name for name in pair if name in names]
        if len(there) == 1:
            missing = next(name for name in pair if name not in names)
            raise DataError(f"it has {there[0]}, but no {missing}")
        if there and role in found:
            raise DataError(f"both {found[role][0]} and {there[0]} may be its {role} images")
        if there:
            found[role] = pair
    if "train" not in found:
        held = ", ".join(map(line, names)) or "nothing"
        raise DataError(f"it has {held[:200]}; expected {EXPECTED}")
    return found


def _has_test(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy").lower() for name in archive.namelist()}
    return any(pair[0] in names for pair in KEYS["test"])


def _images(found: Arrays) -> dict[str, NDArray[np.uint8]]:
    """Return images as uint8 [n, height, width, 1 or 3]."""
    laid = {role: shaped(array) for role, array in found.items()}
    if len({array.shape[1:] for array in laid.values()}) > 1:
        sizes = ", ".join("×".join(map(str, array.shape[1:])) for array in laid.values())
        raise DataError(f"its splits have images of different shapes: {sizes}")
    scale = _scale(list(laid.values()))
    return {role: opaque(_pixels(array, scale)) for role, array in laid.items()}


def shaped(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim == 3:
        images = images[..., None]
    shape = "×".join(map(str, images.shape))
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3, 4):
        raise DataError(f"its images are {shape}, channels first; transpose them (0, 2, 3, 1)")
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise DataError(
            f"its images are {shape}; expected images × height × width, or with 1, 3 or 4 channels"
            " as the last axis, and no volumes"
        )
    if not images.size:
        raise DataError(f"its images are {shape}: there are none")
    if images.dtype.kind not in "uif":
        raise DataError(f"its images are of type {images.dtype}; store them as uint8, 0 to 255")
    return images


def _chunks(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
    return [images[start : start + AT_A_TIME] for start in range(0, len(images), AT_A_TIME)]


def _scale(found: Sequence[NDArray[Any]]) -> int:
    """Return what pixels are multiplied by: 255 for floating point up to 1, else 1."""
    chunks = [chunk for images in found for chunk in _chunks(images)]
    if not all(np.isfinite(chunk).all() for chunk in chunks):
        raise DataError("its images have pixels that are not finite numbers (NaN)")
    low, high = min(chunk.min() for chunk in chunks), max(chunk.max() for chunk in chunks)
    if low < 0 or high > 255:
        raise DataError(f"its pixels are from {low:g} to {high:g}; expected 0 to 255, or 0 to 1")
    return 255 if high <= 1 and all(images.dtype.kind == "f" for images in found) else 1


def _pixels(images: NDArray[Any], scale: int) -> NDArray[np.uint8]:
    """Return pixels as uint8; refuse those that would be rounded."""
    if images.dtype.kind != "f":
        return images.astype(np.uint8, copy=False)
    pixels = np.empty(images.shape, np.uint8)
    # A multiple of 1/255 is off by half a unit in its last place; half floats have few places.
    tolerance = min(0.1, scale * float(np.finfo(images.dtype).eps))
    for chunk, target in zip(_chunks(images), _chunks(pixels), strict=True):
        scaled = chunk.astype(np.float64) * scale
        rounded = np.rint(scaled)
        if np.abs(scaled - rounded).max() > tolerance:
            raise DataError(
                "its pixels are floating point and no multiples of"
                f" {'1/255' if scale > 1 else '1'}; store them as uint8, 0 to 255"
            )
        target[...] = rounded
    return pixels


def opaque(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put images with transparency on white, as picture files are."""
    if images.shape[-1] != 4:
        return images
    white = Image.new("RGBA", (images.shape[2], images.shape[1]), "white")
    made = [Image.alpha_composite(white, Image.fromarray(image)).convert("RGB") for image in images]
    return np.stack([np.asarray(image) for image in made])


def named_labels(
    found: Arrays, names: NDArray[Any] | None
) -> tuple[dict[str, NDArray[np.int32]], tuple[str, ...]]:
    """Return labels by split, int32 [n], and the names of the classes.

    Args:
        found: whole numbers or text [n], by split.
        names: of the classes that numbers stand for; by default the labels themselves.
    """
    every = np.concatenate(list(found.values()))
    if names is None:
        values = np.unique(every)
        class_names = tuple(map(str, values.tolist()))
        numbers = {role: np.searchsorted(values, array) for role, array in found.items()}
        return {role: array.astype(np.int32) for role, array in numbers.items()}, class_names
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"its {NAMES} are not a list of text")
    words = np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names
    class_names = tuple(map(str, words.tolist()))
    if every.dtype.kind not in "iu" or every.min() < 0 or every.max() >= len(class_names):
        raise DataError(
            f"its labels are not whole numbers from 0 to {len(class_names) - 1}, the positions in"
            f" its {len(class_names)} {NAMES}"
        )
    return {role: array.astype(np.int32) for role, array in found.items()}, class_names


def flat(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as [n]: whole numbers or text."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "uifb":
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise DataError(
                f"its labels are {labels.shape[0]}×{labels.shape[1]} and not one-hot: an image with"
                " several labels has no single class"
            )
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        shape = "×".join(map(str, labels.shape)) or "a single value"
        raise DataError(f"its labels are {shape}; expected one for each image")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        raise DataError("its labels are not whole numbers")
    if labels.dtype.kind not in "uifbU":
        raise DataError(f"its labels are of type {labels.dtype}; expected whole numbers or text")
    return labels.astype(np.int64) if labels.dtype.kind in "fb" else labels


def check_classes(parts: Mapping[str, Split], class_names: Sequence[str]) -> None:
    if len(class_names) < 2:
        raise DataError("its labels are all the same; at least 2 classes are needed")
    present = np.bincount(parts["train"].labels, minlength=len(class_names)) > 0
    missing = [line(name) for name, there in zip(class_names, present, strict=True) if not there]
    if missing:
        raise DataError(f"it has no training images of class {', '.join(missing[:5])}")
