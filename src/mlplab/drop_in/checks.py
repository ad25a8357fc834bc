"""Faults in what a program passes, told in one line before a step is traced."""

from collections.abc import Iterator
from inspect import isfunction
from numbers import Integral
from os import PathLike
from typing import Any

import keras
import numpy as np

from mlplab.drop_in.arrays import is_table
from mlplab.errors import DataError, UserError
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run
from mlplab.text import counted

SPARSE = keras.losses.SparseCategoricalCrossentropy
LOSSES: dict[type, str] = {
    SPARSE: "sparse_categorical_crossentropy",
    keras.losses.CategoricalCrossentropy: "categorical_crossentropy",
}


def check_model(model: Any) -> None:
    """Refuse what is no Keras model.

    Raises:
        UserError: saying which function takes it.
    """
    if not hasattr(model, "_assert_compile_called"):
        raise UserError(
            f"the model is a {type(model).__name__}; pass a keras.Model that is compiled"
            + (", or train the recipe with mlplab.train" if isinstance(model, Recipe) else "")
            + (", such as run.model()" if isinstance(model, Run) else "")
        )


def check_data(given: Any, name: str) -> None:
    """Refuse what is often passed in place of arrays or batches.

    Raises:
        DataError: saying what to pass.
    """
    if isinstance(given, str | PathLike):
        raise DataError(
            f"{name} is a path; load the images first, such as with"
            " keras.utils.image_dataset_from_directory, or train a recipe on the folder:"
            " mlplab.train"
        )
    if isfunction(given):
        raise DataError(f"{name} is a function; call it, and pass what it returns")
    first = given[0] if isinstance(given, list) and given else None
    if isinstance(first, tuple) and first and np.ndim(first[0]):  # tuples of numbers are rows
        raise DataError(f"{name} is a list of tuples; pass the inputs and the labels as two arrays")
    if isinstance(given, dict) and {"data", "target"} <= set(given):  # scikit-learn's data sets
        raise DataError(f"{name} is a data set; pass its arrays: fit(model, d.data, d.target)")


def check_numbers(**given: Any) -> None:
    """Refuse settings of ``fit`` that are no whole numbers, or too small.

    Args:
        given: ``epochs``, from 0, and ``batch_size``, from 1, or ``None`` for its default.

    Raises:
        UserError: saying what they can be.
    """
    for name, value in given.items():
        least = 0 if name == "epochs" else 1
        if value is None and name != "epochs":
            continue
        if not isinstance(value, Integral) or value < least:
            raise UserError(f"{name} is {value!r}, but it is a whole number, {least} or more")


def check_settings(validation_split: Any, class_weight: Any) -> None:
    """Refuse settings of ``fit`` that Keras ignores, or fails on without naming them.

    Raises:
        UserError: saying what they can be.
    """
    if validation_split and not 0 < validation_split < 1:
        raise UserError(
            f"validation_split is {validation_split}, but it is a share of the examples, above 0"
            " and below 1"
        )
    if class_weight is not None and not hasattr(class_weight, "get"):
        raise UserError(
            f"class_weight is {class_weight!r}, but it is a dictionary of the classes' numbers and"
            " weights, such as {0: 1.0, 1: 5.0}"
        )


def check(
    model: keras.Model, x: Any, y: Any = None, where: str = "", *, learns: bool = True
) -> None:
    """Refuse what a network can neither be trained nor evaluated on.

    Args:
        model: compiled, if it is to learn from ``y`` or to be compared with it.
        x: inputs.
        y: targets.
        where: what these are, such as ``"validation "``.
        learns: whether the targets are used.

    Raises:
        DataError: for no examples, text, a list of rows that are arrays, and targets that are
            missing or in the form of another loss.
    """
    for name, given in ((f"{where}x", x), (f"{where}y", y)):
        for array in _arrays(given):
            if array.dtype.kind in "OUS":
                raise DataError(
                    f"{name} holds {_kind(array)}, but a network computes with numbers."
                    + (
                        " Number the classes: names, y = np.unique(y, return_inverse=True)"
                        if name.endswith("y")
                        else ""
                    )
                )
            if array.ndim and not len(array):
                raise DataError(f"{name} is empty: its shape is {tuple(array.shape)}")
    inputs = _inputs(model)
    if inputs and type(x) in (list, tuple) and len(x) > inputs:
        raise DataError(
            f"{where}x is a list of {len(x):,} arrays, which stands for as many inputs, but the"
            f" network has {counted(inputs, 'input')}. If they are the examples, pass np.stack(x)"
        )
    if learns:
        _check_targets(model, y, where)


def _check_targets(model: keras.Model, y: Any, where: str) -> None:
    plain = type(model).train_step is keras.Model.train_step and (
        type(model).compute_loss is keras.Model.compute_loss
    )
    if not plain or model.loss is None:
        return
    if y is None:
        raise DataError(f"{where}y is missing: the loss compares the network's outputs with it")
    labels, name, outputs = list(_arrays(y)), _loss_name(model), _outputs(model)
    if len(labels) != 1 or outputs is None or len(outputs) != 2 or not outputs[1]:
        return
    shape = labels[0].shape
    if (
        name == "sparse_categorical_crossentropy"
        and 1 < outputs[1] == shape[-1]
        and len(shape) == 2
    ):
        raise DataError(
            f"{where}y is one-hot, {shape[0]:,}×{shape[1]}, but {name} takes the classes' numbers:"
            " pass y.argmax(axis=1), or compile with categorical_crossentropy"
        )
    if name == "categorical_crossentropy" and len(shape) == 1 and outputs[1] > 1:
        raise DataError(
            f"{where}y holds the classes' numbers, but {name} takes one-hot labels: compile with"
            " sparse_categorical_crossentropy, or pass keras.utils.to_categorical(y)"
        )


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
    if _loss_name(model) != "sparse_categorical_crossentropy":
        return None
    if isinstance(loss, SPARSE) and loss.ignore_class is not None:
        return None
    outputs = _outputs(model)
    return outputs[-1] if outputs else None


def _loss_name(model: keras.Model) -> str | None:
    """Return the name of the only loss of a network, if Keras has it."""
    if isinstance(model.loss, str):
        return model.loss
    return LOSSES.get(type(model.loss))


def _outputs(model: keras.Model) -> tuple[int | None, ...] | None:
    """Return the shape of the only output, where it is known, with ``None`` for the examples."""
    if not model.built and isinstance(model, keras.Sequential) and model.layers:
        units = getattr(model.layers[-1], "units", None)
        return (None, units) if isinstance(units, int) else None
    shape = getattr(model, "output_shape", None)
    return shape if isinstance(shape, tuple) and isinstance(shape[-1], int) else None


def _inputs(model: keras.Model) -> int | None:
    """Return how many inputs a network has, where that is known."""
    if isinstance(model, keras.Sequential):
        return 1
    inputs = getattr(model, "inputs", None)
    return len(inputs) if isinstance(inputs, list) else None


def _arrays(given: Any) -> Iterator[Any]:
    for leaf in keras.tree.flatten(given):
        if is_table(leaf) and leaf.ndim > 1:  # of numbers, as :func:`as_arrays` has seen
            yield leaf.to_numpy(float)
        elif leaf is not None and hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
            yield np.asarray(leaf)


def _kind(array: Any) -> str:
    text = array.dtype.kind in "US" or any(isinstance(value, str) for value in array.flat)
    return "text" if text else "Python objects"
