"""Arrays of a program as a data set.

A recipe names them by a hash, ``data.path = "arrays://…"``, as it would a folder. They are found
for as long as the process lives that passed them; another one has to pass them again.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.data import npz
from mlplab.data.cache import Warn
from mlplab.data.dataset import Dataset, Split, Values, whole
from mlplab.data.divide import divided
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

SCHEME = "arrays://"
KEPT = 4
"""Data sets that a process keeps; of those passed before, the memory is freed."""
SAMPLE = 2**20
"""Values that a step between two levels is looked for in."""
LEVELS = 256
FEW = 32
"""Whole numbers that stay below are levels of their own, such as 0 and 1, and no dark pixels."""
FIT = "mlplab.fit trains on any arrays"


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images and labels of a program.

    Attributes:
        path: what a recipe's ``data.path`` calls them.
        parts: ``train`` and, if they were given, ``validation`` and ``test``.
        class_names: by label.
        values: what the pixels stand for.
    """

    path: str
    parts: dict[str, Split]
    class_names: tuple[str, ...]
    values: Values

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(part):,} {role}" for role, part in self.parts.items())
        height, width, channels = self.parts["train"].images.shape[1:]
        classes = len(self.class_names)
        return f"images of {height}×{width}×{channels}, {counts}, in {classes} classes"


_given: OrderedDict[str, Arrays] = OrderedDict()


def arrays(
    x: Any,
    y: Any,
    *,
    x_val: Any = None,
    y_val: Any = None,
    x_test: Any = None,
    y_test: Any = None,
    class_names: Sequence[str] | None = None,
) -> Arrays:
    """Return arrays of images and labels as data for ``mlplab.train``.

    Without validation images, some are held out of the training images, as
    ``data.validation`` says; likewise test images, as ``data.test`` says.

    Args:
        x: images [n, height, width], [n, height, width, channels] or, flat, [n, pixels]; whole
            numbers from 0 to 255 (or, if all are below 32, from 0 to the largest), or floating
            point with at most 256 evenly spaced values, such as pixels divided by 255. A model of
            your own sees them as they are given here; a network of a recipe scales their pixels in
            its own way.
        y: labels [n], whole numbers or text; or one-hot [n, classes].
        x_val: validation images, likewise.
        y_val: their labels.
        x_test: test images, likewise.
        y_test: their labels.
        class_names: what the labels 0, 1, … stand for; by default the labels themselves.

    Raises:
        DataError: for arrays that are not images, of different lengths or without labels, or with
            values that are not evenly spaced.

    Examples:
        >>> import mlplab
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> mlplab.data(digits.images / 16, digits.target)
        images of 8×8×1, 1,797 train, in 10 classes
    """
    pairs = {"train": (x, y), "validation": (x_val, y_val), "test": (x_test, y_test)}
    names = {"train": ("x", "y"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
    images: dict[str, NDArray[Any]] = {}
    labels: dict[str, NDArray[Any]] = {}
    for role, (one, other) in pairs.items():
        if one is None and other is None:
            continue
        for name, value in zip(names[role], (one, other), strict=True):
            if value is None:
                raise DataError(f"{name} is missing")
        images[role] = _array(one, names[role][0])
        labels[role] = npz.flat(_array(other, names[role][1]))
        counts = len(images[role]), len(labels[role])
        if counts[0] != counts[1]:
            raise DataError(
                f"{names[role][0]} has {counts[0]:,} images, but {names[role][1]} {counts[1]:,}"
                " labels"
            )
        if not counts[0]:
            raise DataError(f"{names[role][0]} is empty")
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) > 1:
        raise DataError(f"the splits have images of different shapes: {sorted(shapes)}")
    shape = shapes.pop()
    pixels, scale, offset = _pixels({role: _image(array) for role, array in images.items()})
    given_names = None if class_names is None else np.array(list(map(str, class_names)))
    numbers, words = npz.named_labels(labels, given_names)
    parts = {role: whole(npz.opaque(pixels[role]), numbers[role]) for role in pixels}
    npz.check_classes(parts, words)
    values = Values(scale, offset, shape)
    found = Arrays(SCHEME + _digest(parts, words, values), parts, words, values)
    _given[found.path] = found
    _given.move_to_end(found.path)
    while len(_given) > KEPT:
        _given.popitem(last=False)
    return found


def given(data: Any) -> Arrays:
    """Return what ``mlplab.train`` takes as ``data``: arrays, or tuples of them.

    Raises:
        DataError: if it is neither.
    """
    if isinstance(data, Arrays):
        return _given.setdefault(data.path, data)
    if isinstance(data, tuple) and len(data) == 2:
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in data):
            (x, y), (x_test, y_test) = data
            return arrays(x, y, x_test=x_test, y_test=y_test)
        return arrays(*data)
    raise DataError(
        f"data= is a {type(data).__name__}; pass mlplab.data(x, y, …), (x, y),"
        " ((x_train, y_train), (x_test, y_test)), or a table of a recipe"
    )


def load(settings: Data, data_dir: Any, warn: Warn) -> Dataset:
    """Return the data set of arrays that this process has passed.

    Raises:
        DataError: if it has not.
    """
    found = _given.get(settings.path or "")
    if found is None:
        raise DataError(
            "the images were arrays of a program, which are not kept. In Python, pass the same"
            " arrays again: call mlplab.data(x, y, …) before run.evaluate(…), or give them as"
            " data= of mlplab.train or mlplab.resume"
        )
    dataset = divided("arrays", found.class_names, found.parts, settings.test, settings.channels)
    return replace(dataset, values=found.values)


def _array(value: Any, name: str) -> NDArray[Any]:
    """Return an array of any library as NumPy's."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise DataError(f"{name} is no array: {error}") from None
    if array.dtype == object:
        try:
            array = np.array(array.tolist())
        except ValueError:
            raise DataError(f"{name} has parts of different shapes") from None
        if array.dtype == object:
            raise DataError(f"{name} is a {type(value).__name__}, not an array of numbers")
    if array.ndim == 0:
        raise DataError(f"{name} is a single value; pass an array")
    return array


def _image(x: NDArray[Any]) -> NDArray[Any]:
    """Return images as [n, height, width, channels]."""
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if x.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(x.shape[1] // channels)
            if side > 1 and side * side * channels == x.shape[1]:
                return x.reshape(-1, side, side, channels)
        raise DataError(f"x is {x.shape[0]}×{x.shape[1]}, a table and no square images; {FIT}")
    try:
        return npz.shaped(x)
    except DataError as error:
        raise DataError(f"x: {error}; {FIT}") from None


def _pixels(
    images: dict[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[np.uint8]], float, float]:
    """Return images as uint8, and scale and offset from there to the values that they had."""
    if all(array.dtype.kind in "ui" for array in images.values()):
        low, high = _range(images)
        if low < 0 or high > 255:
            raise DataError(
                f"x has values from {low:g} to {high:g}; pixels are from 0 to 255; {FIT}"
            )
        spread = 255 // max(1, int(high)) if high < FEW else 1
        pixels = {role: array.astype(np.uint8) * np.uint8(spread) for role, array in images.items()}
        return pixels, 1 / spread, 0.0
    low, high = _range(images)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError("x has values that are not finite numbers (NaN or infinity)")
    if low >= 0 and high <= 1:
        found = _in_steps(images, 0.0, 1 / 255)
        if found is not None:
            return found, 1 / 255, 0.0
    step = _step(images)
    most = round((high - low) / step) if step else 0
    found = _in_steps(images, low, step) if 0 < most < LEVELS else None
    if found is None:
        raise DataError(
            f"x has more than {LEVELS} different values, or uneven ones, so it is not made of"
            f" pixels; pass the images as they were before they were standardised; {FIT}"
        )
    spread = 255 // most  # so that the figures are not dark
    return {role: array * np.uint8(spread) for role, array in found.items()}, step / spread, low


def _range(images: dict[str, NDArray[Any]]) -> tuple[float, float]:
    lows, highs = zip(*((array.min(), array.max()) for array in images.values()), strict=True)
    return float(np.min(lows)), float(np.max(highs))


def _step(images: dict[str, NDArray[Any]]) -> float:
    """Return the smallest distance between two values, rounding aside; 0 if there is only one."""
    flat = images["train"].reshape(-1)
    some = flat[np.linspace(0, len(flat) - 1, min(len(flat), SAMPLE)).astype(np.int64)]
    levels = np.unique(some.astype(np.float64))
    gaps = np.diff(levels)
    gaps = gaps[gaps > (levels[-1] - levels[0]) * 1e-5]
    if not len(gaps):
        return 0.0
    # The mean of all gaps of one step, as a single one is rounded.
    return float(gaps[gaps < 1.5 * gaps.min()].mean())


def _in_steps(
    images: dict[str, NDArray[Any]], low: float, step: float
) -> dict[str, NDArray[np.uint8]] | None:
    """Return how many steps each value is above the lowest, or ``None`` if some are in between."""
    found = {}
    for role, array in images.items():
        steps = np.empty(array.shape, np.uint8)
        for start in range(0, len(array), npz.AT_A_TIME):
            part = (array[start : start + npz.AT_A_TIME].astype(np.float64) - low) / step
            whole_steps = np.rint(part)
            if np.abs(part - whole_steps).max() > 0.02 or whole_steps.max() >= LEVELS:
                return None
            steps[start : start + npz.AT_A_TIME] = whole_steps
        found[role] = steps
    return found


def _digest(parts: dict[str, Split], names: Sequence[str], values: Values) -> str:
    total = hashlib.sha256(repr((list(parts), list(names), tuple(values))).encode())
    for part in parts.values():
        total.update(np.ascontiguousarray(part.images).data)
        total.update(np.ascontiguousarray(part.labels, "<i4").data)
    return total.hexdigest()[:24]
