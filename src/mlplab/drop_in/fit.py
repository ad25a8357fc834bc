"""``keras.Model.fit`` with mlplab's compiled steps.

Keras's own ``fit`` runs, with its callbacks, logs, validation and order of the examples. It is
given the positions of the examples in place of the data, and a compiled program that takes the
steps of an epoch at once in place of the function for a single step.
"""

import math
import sys
from dataclasses import replace
from typing import Any

import keras

from mlplab.drop_in import checks
from mlplab.drop_in.arrays import Examples, as_arrays, examples, unpacked
from mlplab.drop_in.loop import (
    Callbacks,
    in_our_steps,
    in_our_steps_of_batches,
    steps_of,
)
from mlplab.drop_in.support import FIT, check_backend, not_arrays, why_not
from mlplab.training.hooks import on_batches, on_validation_batches

# Its hooks on batches are no reason to take a step at a time: it is told in between.
BAR = keras.callbacks.ProgbarLogger

_noted: set[str] = set()


def fit(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: Any = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
) -> keras.callbacks.History:
    """Train a compiled model as ``model.fit`` does, faster.

    All arguments but the first, the result and the errors are those of ``keras.Model.fit``, and so
    are the order of the examples and the calls of callbacks. What passes batches, such as a
    generator, is trained batch by batch; what needs Keras's own steps, such as a model compiled
    with ``run_eagerly``, by ``model.fit`` itself. Either is noted on standard error.

    Args:
        model: compiled.
        x: arrays, lists of numbers, or a structure of them.
        y: likewise, or ``None``.
        batch_size: 32 by default.
        epochs: the number of the last epoch.
        verbose: 0 for nothing, 1 for a progress bar, 2 for a line an epoch.
        callbacks: Keras callbacks. A hook on batches makes training step by step, as in Keras.
        validation_split: share of the examples, the last ones, that is held out.
        validation_data: ``(x, y)`` or ``(x, y, sample_weight)``.
        shuffle: whether to draw a new order in each epoch.
        class_weight: weight in the loss by class.
        sample_weight: weight in the loss by example.
        initial_epoch: where to begin.
        steps_per_epoch: batches in an epoch; by default all.
        validation_steps: batches of a validation; by default all.
        validation_batch_size: by default that of training.
        validation_freq: validate after every so many epochs, or after those that are listed.

    Returns:
        Keras's history of losses and metrics by epoch.

    Raises:
        DataError: if an array is empty or holds text, the rows of a list differ in length, or
            targets are missing or in the form of another loss.
        UserError: if Keras runs on another backend than JAX, for what is no Keras model, and for
            settings out of range.

    Examples:
        >>> import mlplab, keras, numpy as np
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("sgd", "mean_squared_error")
        >>> history = mlplab.fit(model, np.ones((8, 2)), np.ones(8), epochs=2, verbose=0)
        >>> list(history.history), len(history.epoch)
        (['loss'], 2)
    """
    check_backend()
    checks.check_model(model)
    model._assert_compile_called("fit")
    checks.check_settings(validation_split, class_weight)
    checks.check_numbers(epochs=epochs, batch_size=batch_size)
    checks.check_data(x, "x")
    x, y = as_arrays(x, "x"), as_arrays(y, "y")
    sample_weight = as_arrays(sample_weight, "sample_weight")
    if isinstance(validation_data, list | tuple):
        names = ("validation x", "validation y", "validation sample_weight")
        validation_data = tuple(
            as_arrays(part, names[min(at, 2)]) for at, part in enumerate(validation_data)
        )
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "epochs": epochs,
        "verbose": verbose,
        "validation_split": validation_split,
        "shuffle": shuffle,
        "initial_epoch": initial_epoch,
        "steps_per_epoch": steps_per_epoch,
        "validation_steps": validation_steps,
        "validation_batch_size": validation_batch_size,
        "validation_freq": validation_freq,
    }
    reason, batches = why_not(model, FIT), not_arrays((x, y, sample_weight, validation_data))
    if reason or batches:
        settings |= {"validation_data": validation_data, "callbacks": callbacks}
        settings |= {"class_weight": class_weight, "sample_weight": sample_weight}
        if reason:
            _note(f"Keras's own steps train, because {reason}")
            return model.fit(x, y, **settings)
        _note(f"{batches} passes one batch at a time; arrays in memory would be faster")
        with in_our_steps_of_batches(model):
            return model.fit(x, y, **settings)
    held_x, held_y, _ = unpacked(validation_data) if validation_data is not None else (None,) * 3
    checks.check(model, x, y)
    if validation_data is not None:
        checks.check(model, held_x, held_y, "validation ")
    for doubt in (
        *checks.doubts(model, x, y),
        *checks.doubts(model, held_x, held_y, "validation "),
    ):
        print(f"mlplab.fit: {doubt}.", file=sys.stderr)
    train = examples(x, y, sample_weight, class_weight)
    held_out: Examples | None = None
    if validation_data is not None:
        held_out = examples(*unpacked(validation_data))
        settings["validation_data"] = held_out.positions
    elif validation_split:
        # Class weights, which are the last of the tree then, are for training alone.
        held_out = train if class_weight is None else replace(train, tree=train.tree[:2])
    count, rest = train.count, held_out.count if held_out is not None else 0
    if held_out is not None and validation_data is None:
        count = math.floor(train.count * (1 - validation_split))
        rest = train.count - count
    steps = steps_of(count, batch_size, steps_per_epoch)
    at_once = validation_at_once = model.steps_per_execution
    if isinstance(callbacks, keras.callbacks.CallbackList):
        with in_our_steps(model, train, held_out, at_once, validation_at_once):
            return model.fit(train.positions, callbacks=callbacks, **settings)
    listening = Callbacks(model, callbacks, verbose, epochs, steps_per_epoch or steps)
    # Otherwise Keras counts on from epoch to epoch, and an epoch may end within the examples.
    if steps_per_epoch in (None, steps):
        heard = [each for each in listening.callbacks if not isinstance(each, BAR)]
        if not any(map(on_batches, heard)):
            at_once = steps
        held_steps = steps_of(rest, validation_batch_size or batch_size, validation_steps)
        every = any(map(on_validation_batches, heard))
        if held_out is not None and not every and validation_steps in (None, held_steps):
            validation_at_once = held_steps
    listening.validation_steps = validation_at_once
    with in_our_steps(model, train, held_out, at_once, validation_at_once, listening.on_steps):
        return model.fit(train.positions, callbacks=listening, **settings)


def _note(text: str) -> None:
    """Say something once."""
    if text not in _noted:
        _noted.add(text)
        print(f"mlplab.fit: {text}.", file=sys.stderr)
