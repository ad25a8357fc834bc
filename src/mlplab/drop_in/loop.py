"""Keras's own loop over epochs, with the steps of an epoch taken at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import keras

from mlplab.drop_in.arrays import Examples, gathered
from mlplab.drop_in.predictions import Predictions
from mlplab.drop_in.program import Logs, OnChunk, Program, nothing
from mlplab.training.steps import Mode

BATCH = 32  # Keras's default size

_predictions: WeakKeyDictionary[keras.Model, Predictions] = WeakKeyDictionary()
_programs: WeakKeyDictionary[keras.Model, dict[Mode, Program]] = WeakKeyDictionary()


class Callbacks(keras.callbacks.CallbackList):  # type: ignore[misc]
    """Keras's list of callbacks, which makes a validation one execution as well.

    Keras's loop asks the model how many steps it takes at once: when training begins, and for
    validation when an epoch's steps have been taken. In between, and in all hooks, the model has
    the number that it was compiled with.

    Args:
        model: to be trained.
        callbacks: given by the caller.
        verbose: as for ``fit``.
        epochs: as for ``fit``.
        steps: of an epoch.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Any,
        verbose: Any,
        epochs: int,
        steps: int,
    ) -> None:
        super().__init__(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
            model=model,
        )
        self.compiled_steps = model.steps_per_execution
        self.validation_steps = model.steps_per_execution

    def on_train_begin(self, logs: Any = None) -> None:
        self._at_once(self.compiled_steps)
        super().on_train_begin(logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._at_once(self.validation_steps)

    def on_test_begin(self, logs: Any = None) -> None:
        self._at_once(self.compiled_steps)
        super().on_test_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._at_once(self.compiled_steps)
        super().on_epoch_end(epoch, logs)

    def _at_once(self, steps: int) -> None:
        # Not by the property ``model``, which writes the state into the model's variables, and not
        # by the model's own ``__setattr__``, which takes as long as a small step.
        object.__setattr__(self._model, "steps_per_execution", steps)

    def on_steps(self, done: int, logs: Logs) -> None:
        """Move the progress bar on within an epoch."""
        if self._progbar is not None and done < self.params["steps"]:
            self._progbar.on_train_batch_end(done - 1, logs)


def steps_of(count: int, batch_size: int | None, steps: int | None) -> int:
    """Return how many batches there are in so many examples, as Keras counts them."""
    size = batch_size or (math.ceil(count / steps) if steps else BATCH)
    return math.ceil(count / size)


@contextmanager
def in_our_steps(
    model: keras.Model,
    train: Examples | None,
    held_out: Examples | None,
    at_once: int,
    validation_at_once: int,
    on_steps: OnChunk = nothing,
) -> Iterator[None]:
    """Let Keras's loop take our steps until the block ends.

    Args:
        model: compiled and built.
        train: whose positions the loop is given for training.
        held_out: whose positions it is given for validation.
        at_once: steps of training that it takes at once.
        validation_at_once: steps of validation that it takes at once.
        on_steps: called with the steps of the epoch that were taken, and their logs.
    """
    given = train or held_out
    assert given is not None
    with _replaced(model, given):
        if train is not None:
            model.train_function = program(model, "train").function(train, at_once, on_steps)
        if held_out is not None:
            model.test_function = program(model, "test").function(held_out, validation_at_once)
        model.steps_per_execution = at_once
        with (
            _own(model, "_setattr_hook", partial(_untracked, model._setattr_hook)),
            _evaluations_apart(model) if train is not None else nullcontext(),
        ):
            yield


def _untracked(hook: Callable[[str, Any], tuple[str, Any]], name: str, value: Any) -> Any:
    """Hide from Keras's tracking the state, which its loop sets as an attribute after each step.

    Looking for layers among all of its arrays takes as long as a small step. Only dictionaries and
    the like are looked through.
    """
    name, value = hook(name, value)
    return name, MappingProxyType(value) if name == "_jax_state" and value else value


@contextmanager
def _evaluations_apart(model: keras.Model) -> Iterator[None]:
    """Let callbacks evaluate the model on data of their own, with Keras's function of a step.

    Keras's ``fit`` evaluates with a keyword of its own, by which it is told apart.
    """
    ours, plain = model.test_function, type(model).evaluate

    def evaluate(*given: Any, **named: Any) -> Any:
        if "_use_cached_eval_dataset" in named:
            return plain(model, *given, **named)
        model.test_function = None
        try:
            with _own(model, "_symbolic_build", partial(type(model)._symbolic_build, model)):
                return plain(model, *given, **named)
        finally:
            model.test_function = ours

    with _own(model, "evaluate", evaluate):
        yield


@contextmanager
def in_our_steps_of_batches(model: keras.Model) -> Iterator[None]:
    """Let Keras's loop take our steps, of batches that it is given, until the block ends."""
    with _restored(model):
        at_once = model.steps_per_execution
        model.train_function = program(model, "train").of_batches(at_once)
        model.test_function = program(model, "test").of_batches(at_once)
        yield


@contextmanager
def in_our_predictions(model: keras.Model, examples: Examples, at_once: int) -> Iterator[None]:
    """Let Keras's ``predict`` take our steps until the block ends."""
    if model not in _predictions:
        _predictions[model] = Predictions(model)
    with _replaced(model, examples):
        model.predict_function = _predictions[model].function(examples, at_once)
        model.steps_per_execution = at_once
        yield


@contextmanager
def _replaced(model: keras.Model, examples: Examples) -> Iterator[None]:
    """As :func:`_restored`, and build the model from examples, where Keras's loop has positions."""
    build = partial(type(model)._symbolic_build, model)

    def symbolic_build(iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is None:  # a callback's own batch
            build(data_batch=data_batch)
            return
        build(
            iterator=(
                (first, last, [gathered(examples.tree, next(positions))])
                for first, last, positions in iterator
            )
        )

    with _own(model, "_symbolic_build", symbolic_build), _restored(model):
        yield


@contextmanager
def _own(model: keras.Model, name: str, value: Any) -> Iterator[None]:
    """Give a model an attribute of its own until the block ends, beside that of its class."""
    before = vars(model).get(name)
    object.__setattr__(model, name, value)
    try:
        yield
    finally:
        object.__delattr__(model, name)
        if before is not None:
            object.__setattr__(model, name, before)


@contextmanager
def _restored(model: keras.Model) -> Iterator[None]:
    """Undo afterwards what the block replaces of the model."""
    names = ("train_function", "test_function", "predict_function", "steps_per_execution")
    before = {name: getattr(model, name) for name in names}
    try:
        yield
    except BaseException:
        # Keras's evaluate and predict, unlike its fit, leave the variables without their arrays.
        model.jax_state_sync()
        raise
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def program(model: keras.Model, mode: Mode) -> Program:
    """Return the compiled steps of a model; those of an earlier training if it is compiled so."""
    kept = _programs.setdefault(model, {})
    if mode not in kept or not kept[mode].fits(model):
        kept[mode] = Program(model, mode)
    return kept[mode]
