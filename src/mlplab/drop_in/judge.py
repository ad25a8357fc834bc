"""``keras.Model.evaluate`` and ``predict`` with mlplab's compiled steps."""

from collections.abc import Sequence
from typing import Any

import keras
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv

from mlplab.drop_in import checks
from mlplab.drop_in.arrays import as_arrays, examples
from mlplab.drop_in.loop import (
    in_our_predictions,
    in_our_steps,
    steps_of,
)
from mlplab.drop_in.support import EVALUATE, PREDICT, check_backend, not_arrays, why_not
from mlplab.training.hooks import PREDICT_HOOKS, on_validation_batches, overrides


def evaluate(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    verbose: Any = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
) -> Any:
    """Evaluate a compiled model as ``model.evaluate`` does, faster.

    Arguments, result and errors are those of ``keras.Model.evaluate``.

    Args:
        model: compiled.
        x: arrays, lists of numbers, or a structure of them; anything else is evaluated by Keras
            itself.
        y: likewise, or ``None``.
        batch_size: 32 by default.
        verbose: as for Keras.
        sample_weight: as for Keras.
        steps: batches to evaluate; by default all.
        callbacks: as for Keras.
        return_dict: whether to return a dictionary instead of a list.

    Raises:
        DataError: if an array is empty or holds text, the rows of a list differ in length, or
            targets are missing or in the form of another loss.
        UserError: if Keras runs on another backend than JAX, or for what is no Keras model.
    """
    check_backend()
    checks.check_model(model)
    model._assert_compile_called("evaluate")
    checks.check_data(x, "x")
    x, y = as_arrays(x, "x"), as_arrays(y, "y")
    sample_weight = as_arrays(sample_weight, "sample_weight")
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "verbose": verbose,
        "steps": steps,
        "callbacks": callbacks,
        "return_dict": return_dict,
    }
    if why_not(model, EVALUATE) or not_arrays((x, y, sample_weight)):
        return model.evaluate(x, y, sample_weight=sample_weight, **settings)
    checks.check(model, x, y)
    given = examples(x, y, sample_weight)
    every = any(map(on_validation_batches, _listed(callbacks)))
    at_once = 1 if every else steps or steps_of(given.count, batch_size, steps)
    with in_our_steps(model, None, given, at_once, at_once):
        return type(model).evaluate(model, given.positions, **settings)


def predict(
    model: keras.Model,
    x: Any,
    batch_size: int | None = None,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Any:
    """Return a model's predictions as ``model.predict`` does, faster.

    Arguments, result and errors are those of ``keras.Model.predict``. Networks with convolutions
    are left to Keras, which is faster with them.

    Args:
        model: built, or to be built from the arrays.
        x: arrays, lists of numbers, or a structure of them; anything else is predicted by Keras
            itself.
        batch_size: 32 by default.
        verbose: as for Keras.
        steps: batches to predict; by default all.
        callbacks: as for Keras.

    Raises:
        DataError: if an array is empty or holds text, or the rows of a list differ in length.
        UserError: if Keras runs on another backend than JAX, or for what is no Keras model.
    """
    check_backend()
    checks.check_model(model)
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "verbose": verbose,
        "steps": steps,
        "callbacks": callbacks,
    }
    checks.check_data(x, "x")
    x = as_arrays(x, "x")
    if not not_arrays([x]):
        checks.check(model, x, learns=False)
    layers = model._flatten_layers()
    ours = (
        not why_not(model, PREDICT) and not not_arrays([x]) and all(layer.built for layer in layers)
    )
    convolves = any(isinstance(layer, BaseConv | BaseDepthwiseConv) for layer in layers)
    hooked = any(overrides(callback, PREDICT_HOOKS) for callback in _listed(callbacks))
    if not ours or convolves or hooked:
        return model.predict(x, **settings)
    given = examples(x)
    at_once = steps or steps_of(given.count, batch_size, steps)
    with in_our_predictions(model, given, at_once):
        return model.predict(given.positions, **settings)


def _listed(callbacks: Any) -> Sequence[keras.callbacks.Callback]:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return keras.tree.flatten(callbacks) if callbacks else []
