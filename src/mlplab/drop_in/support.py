"""What mlplab's compiled steps can serve, and why not otherwise."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import keras
import numpy as np

from mlplab.drop_in.arrays import is_table
from mlplab.errors import UserError

DENSE = (np.ndarray, jax.Array)
# Methods by which Keras trains, evaluates and predicts. A subclass that has its own has a loop or a
# program of its own, which expects the data and not their positions.
EVALUATE = ("evaluate", "make_test_function")
FIT = ("fit", "make_train_function", *EVALUATE)
PREDICT = ("predict", "make_predict_function")


def check_backend() -> None:
    """Refuse another backend than JAX.

    Raises:
        UserError: saying what to do.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            f"Keras runs on {keras.backend.backend()}, and mlplab needs JAX. Restart the kernel or"
            " program, and import mlplab before keras"
        )


def why_not(model: keras.Model, methods: Sequence[str]) -> str | None:
    """Return why a model needs Keras's own steps, or ``None`` if it does not.

    Args:
        model: to be trained, evaluated or asked.
        methods: by which Keras would do so.
    """
    if model.run_eagerly:
        return "the model is compiled with run_eagerly=True"
    if not model.jit_compile:
        return "the model is compiled with jit_compile=False"
    if keras.distribution.distribution() is not None:
        return "a keras.distribution is set"
    for name in methods:
        plain = inspect.getattr_static(keras.Model, name)
        if inspect.getattr_static(type(model), name) is not plain:
            return f"{type(model).__name__} has a {name} of its own"
    return None


def not_arrays(data: Iterable[Any]) -> str | None:
    """Return the type of the first of some data that are not arrays; ``None`` without any.

    Args:
        data: arrays, structures of arrays, ``None``, or anything that yields batches.
    """
    for given in data:
        if given is not None and not _is_arrays(given):
            return type(given).__name__
    return None


def _is_arrays(given: Any) -> bool:
    """Return whether a structure holds only what Keras slices as dense arrays."""
    leaves = keras.tree.flatten(given)
    return all(leaf is None or isinstance(leaf, DENSE) or is_table(leaf) for leaf in leaves)
