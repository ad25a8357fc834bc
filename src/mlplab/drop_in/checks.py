"""Faults in a program's own arrays, told in one line before a step is traced."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mlplab.errors import DataError
from mlplab.text import counted

SPARSE = keras.losses.SparseCategoricalCrossentropy


def check(x: Any, y: Any) -> None:
    """Refuse what no network can be trained on.

    Raises:
        DataError: for no examples, and for text.
    """
    for name, given in (("x", x), ("y", y)):
        for array in _arrays(given):
            if array.dtype.kind in "OUS":
                raise DataError(
                    f"{name} holds {_kind(array)}, but a network computes with numbers."
                    + (
                        " Number the classes: names, y = np.unique(y, return_inverse=True)"
                        if name == "y"
                        else ""
                    )
                )
            if array.ndim and not len(array):
                raise DataError(f"{name} is empty: its shape is {tuple(array.shape)}")


def doubts(model: keras.Model, x: Any, y: Any, where: str = "") -> Iterator[str]:
    """Yield what Keras would train on without a word, and what nobody means.

    Args:
        model: compiled.
        x: inputs; a copy of floats is not made.
        y: targets.
        where: what these are, such as ``"validation "``.
    """
    for name, given in ((f"{where}x", x), (f"{where}y", y)):
        for array in _arrays(given):
            # The sum is a number only if every element is: one pass, without a copy.
            if array.dtype.kind == "f" and not np.isfinite(np.sum(array, dtype=np.float64)):
                bad = int((~np.isfinite(array)).sum())
                if bad:
                    verb = "is" if bad == 1 else "are"
                    yield f"{name} has {counted(bad, 'value')} that {verb} infinite or not a number"
    labels = list(_arrays(y))
    classes = _classes(model)
    if classes and len(labels) == 1 and labels[0].dtype.kind in "iuf":
        low, high = labels[0].min(), labels[0].max()
        if low < 0 or high >= classes:
            low, high = int(low), int(high)
            yield (
                f"{where}labels go from {low} to {high}, but the network has {classes} outputs, for"
                f" labels 0 to {classes - 1}; others count nothing in the loss, or make it infinite"
            )


def _classes(model: keras.Model) -> int | None:
    """Return how many classes a network has that learns their numbers."""
    loss = model.loss
    named = isinstance(loss, str) and loss == "sparse_categorical_crossentropy"
    if not named and not (isinstance(loss, SPARSE) and loss.ignore_class is None):
        return None
    if not model.built and isinstance(model, keras.Sequential) and model.layers:
        units = getattr(model.layers[-1], "units", None)
        return units if isinstance(units, int) else None
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return None
    return shape[-1]


def _arrays(given: Any) -> Iterator[Any]:
    for leaf in keras.tree.flatten(given):
        if leaf is not None and hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
            yield np.asarray(leaf)


def _kind(array: Any) -> str:
    return "text" if array.dtype.kind in "US" else "Python objects"
