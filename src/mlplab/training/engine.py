"""The training loop: what Keras's ``fit`` computes, with Python called a few times a second.

Callbacks see what they see under ``fit``: before each of their epoch-level hooks the state is in
the model's variables, and what they changed there is taken up again.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.training.bookkeeping import Bookkeeping, on_batches
from mlplab.training.devices import Sharding
from mlplab.training.plan import Ending, Fit, Plan, Row, Silent, Watcher
from mlplab.training.resizing import square_of
from mlplab.training.steps import State, Stepper, batches, own, put_state, take_state

__all__ = ["Ending", "Fit", "Plan", "Row", "Silent", "Watcher", "fit"]

CHUNK_SECONDS = 0.2  # Ctrl-C is heard, and the bar moves, this often

OnSteps = Callable[[int, int, int, Row], None]


def fit(model: keras.Model, plan: Plan) -> Fit:
    """Train a compiled model as ``model.fit`` would.

    A loss that is not finite ends the training, with or without ``TerminateOnNaN``: no weight would
    recover.

    Args:
        model: compiled with an optimizer, a loss and ``metrics=["accuracy"]``.
        plan: the data and how to train on it.

    Returns:
        What was done. The trained weights are in the model, at the optimizer's average where it
        keeps one.

    Raises:
        TrainingError: for a loss that is not finite, with ``TerminateOnNaN(raise_error=True)``.
    """
    batch = slice(0, plan.batch_size)
    model._symbolic_build(data_batch=(plan.train.x[batch], plan.train.y[batch]))
    model.optimizer.build(model.trainable_variables)
    sharding = Sharding(plan.devices) if len(plan.devices) > 1 else None
    if sharding is not None:
        _note_undivided(plan, sharding)
        plan = placed(plan, sharding)
    if plan.teacher is not None:
        note = plan.watcher.on_note
        plan.teacher.prepare(plan.train, plan.augment, plan.should_stop, note)
    trainer = Stepper(model, "train", plan.class_weights, plan.augment, sharding, plan.teacher)
    tester = Stepper(model, "test", sharding=sharding)
    steps = Steps(model, plan, trainer)
    books = Bookkeeping(model, plan, tester)
    books.begin()
    while not books.over:
        epoch = books.next_epoch
        done = books.begin_epoch(epoch)
        books.end_epoch(steps.run(epoch, books, plan.watcher.on_steps, done))
    books.end()
    if sharding is not None:
        put_state(model, jax.device_put(take_state(model, "train"), plan.devices[0]), "train")
    books.result.compile_seconds = trainer.compile_seconds + tester.compile_seconds
    return books.result


def _note_undivided(plan: Plan, sharding: Sharding) -> None:
    if not sharding.divides(plan.batch_size):
        plan.watcher.on_note(
            f"batches of {plan.batch_size} cannot be divided among {sharding.count} devices: each"
            " computes all of them; choose a multiple for training.batch_size"
        )


def placed(plan: Plan, sharding: Sharding) -> Plan:
    """Return the plan with its images on every device."""
    train, validation = sharding.replicate((plan.train, plan.validation))
    return replace(plan, train=train, validation=validation)


class Steps:
    """The steps of one training.

    Args:
        model: compiled and built.
        plan: what to do.
        trainer: a stepper of the mode ``train``, of a model of the same form.
    """

    def __init__(self, model: keras.Model, plan: Plan, trainer: Stepper) -> None:
        self.model = model
        self.plan = plan
        self.trainer = trainer
        self.pace = Pace()
        listening = [callback for callback in plan.callbacks if on_batches(callback)]
        self.batch_by_batch = bool(listening)
        for callback in listening:
            plan.watcher.on_note(
                f"{type(callback).__name__} listens to batches: training goes batch by batch,"
                " slower"
            )

    def run(self, epoch: int, books: Bookkeeping, on_steps: OnSteps, done: int = 0) -> float:
        """Run an epoch's steps, counted from 0; return their seconds, compiling left out.

        Args:
            epoch: which.
            books: told of the means after each range of steps, and asked to keep checkpoints.
            on_steps: told of progress.
            done: so many steps of the epoch were done before.
        """
        parts = batches(order(self.plan, epoch), self.plan.batch_size)
        total, begun = sum(map(len, parts)), time.perf_counter()
        compiled = self.trainer.compile_seconds
        plan = self.plan
        self.square = square_of(plan.resizing, epoch)
        self.told = own(self.model, plan.augment, plan.class_weights, plan.teacher)
        state = take_state(self.model, "train")
        for part, start, stop in self._ranges(parts, done):
            if self.batch_by_batch:
                put_state(self.model, state, "train")
                books.callbacks.on_train_batch_begin(done)
                state = take_state(self.model, "train")
            state, logs = self._chunk(state, part, start, stop, epoch)
            done += stop - start
            if self.batch_by_batch:
                put_state(self.model, state, "train")
                books.callbacks.on_train_batch_end(done - 1, logs)
                state = take_state(self.model, "train")
            on_steps(epoch + 1, done, total, logs)
            ends = books.hear(logs)
            books.keep_within(state, done)
            if ends:
                break
        put_state(self.model, state, "train")
        return time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)

    def _ranges(
        self, parts: list[NDArray[np.int32]], done: int
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches, start, stop), leaving out what is done."""
        size = 1 if self.batch_by_batch else None
        for part in parts:
            for start, stop in self.pace.ranges(len(part), size, min(done, len(part))):
                yield part, start, stop
            done = max(0, done - len(part))

    def _chunk(
        self, state: State, part: NDArray[np.int32], start: int, stop: int, epoch: int
    ) -> tuple[State, Row]:
        """Run a range of steps and wait for it."""
        begun, compiled = time.perf_counter(), self.trainer.compile_seconds
        state, last = self.trainer.run(
            state, self.plan.train, part, start, stop, epoch, self.told, self.square
        )
        logs = {key: float(value) for key, value in last.items()}
        seconds = time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)
        self.pace.seconds = seconds / (stop - start)
        return state, logs


class Pace:
    """Cuts the steps of an epoch into ranges of about ``CHUNK_SECONDS``.

    Attributes:
        seconds: a step, in the last range; to be set by who runs it.
    """

    def __init__(self) -> None:
        self.seconds = math.inf

    def ranges(
        self, steps: int, size: int | None = None, start: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Yield the ranges [start, stop) of so many steps, of the size that fits or a given one."""
        while start < steps:
            stop = min(steps, start + (size or max(1, int(CHUNK_SECONDS / self.seconds))))
            yield start, stop
            start = stop


def order(plan: Plan, epoch: int) -> NDArray[np.int32]:
    """Return the order that an epoch, counted from 0, shows the images in: int32 [n]."""
    rows = np.arange(len(plan.train), dtype=np.int32)
    return np.random.default_rng([plan.seed, epoch]).permutation(rows) if plan.shuffle else rows
