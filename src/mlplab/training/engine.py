"""The training loop: what Keras's ``fit`` computes, with Python called a few times a second.

Callbacks see what they see under ``fit``: before each of their epoch-level hooks the state is in
the model's variables, and their changes to it are used afterwards.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.training.bookkeeping import Bookkeeping
from mlplab.training.devices import Sharding
from mlplab.training.hooks import needs_batches, overrides
from mlplab.training.plan import Fit, Plan, Row
from mlplab.training.resizing import square_of
from mlplab.training.steps import (
    CompiledSteps,
    State,
    batches,
    put_state,
    run_inputs,
    take_state,
)

CHUNK_SECONDS = 0.2  # how often Ctrl-C is checked and the progress bar is updated
SLOW, SECONDS = 12, 1.0
"""Of slow steps so many, if they take no longer: XLA has new memory from the system each time it is
called, which costs a network of convolutions a tenth of a step."""

OnSteps = Callable[[int, int, int, Row], None]


def fit(model: keras.Model, plan: Plan) -> Fit:
    """Train a compiled model as ``model.fit`` would.

    A loss that is not finite ends the training, with or without ``TerminateOnNaN``: no weight would
    recover.

    Args:
        model: compiled with an optimizer, a loss and ``metrics=["accuracy"]``.
        plan: the data and how to train on it.

    Returns:
        What was done. The trained weights are in the model, or the optimizer's average if it
        keeps one.

    Raises:
        TrainingError: for a loss that is not finite, with ``TerminateOnNaN(raise_error=True)``.
    """
    data, schedule, control = plan.data, plan.schedule, plan.control
    batch = slice(0, schedule.batch_size)
    model._symbolic_build(data_batch=(data.train.x[batch], data.train.y[batch]))
    sharding = Sharding(control.devices) if len(control.devices) > 1 else None
    if sharding is not None:
        _note_undivided(plan, sharding)
        plan = placed(plan, sharding)
    if data.teacher is not None:
        note = control.progress.on_note
        data.teacher.prepare(plan.data.train, data.augment, control.should_stop, note)
    trainer = CompiledSteps(
        model, "train", data.class_weights, data.augment, sharding, data.teacher, schedule.worth_cpp
    )
    tester = CompiledSteps(model, "test", sharding=sharding)
    runner = EpochRunner(model, plan, trainer)
    books = Bookkeeping(model, plan, tester)
    books.begin()
    while not books.over:
        epoch = books.next_epoch
        done = books.begin_epoch(epoch)
        if not (trainer.compile_seconds or sharding or runner.batch_by_batch):
            _compile(books, trainer, tester)
        books.end_epoch(runner.run(epoch, books, control.progress.on_steps, done))
    books.end()
    if sharding is not None:
        put_state(model, jax.device_put(take_state(model, "train"), control.devices[0]), "train")
    books.result.compile_seconds = trainer.compile_seconds + tester.compile_seconds
    return books.result


def _compile(books: Bookkeeping, trainer: CompiledSteps, tester: CompiledSteps) -> None:
    """Compile the first programs of training and of validation at the same time.

    A callback may change the network before validation: then that is compiled when it comes.
    """
    begun = time.perf_counter()
    schedule, data = books.plan.schedule, books.plan.data
    first = batches(order(books.plan, books.epoch), schedule.batch_size)[0]
    programs = [trainer.prepared(data.train, first, square_of(schedule.resizing, books.epoch))]
    changeable = any(overrides(one, ("on_test_begin",)) for one in books.control.callbacks)
    if data.validation is not None and not changeable:
        rows = np.arange(len(data.validation), dtype=np.int32)
        programs.append(tester.prepared(data.validation, batches(rows, books.validation_batch)[0]))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda program: program(), programs))
    trainer.compile_seconds += time.perf_counter() - begun


def _note_undivided(plan: Plan, sharding: Sharding) -> None:
    batch_size = plan.schedule.batch_size
    if not sharding.divides(batch_size):
        plan.control.progress.on_note(
            f"batches of {batch_size} cannot be divided among {sharding.count} devices, so each"
            " computes all of them; choose a multiple for training.batch_size"
        )


def placed(plan: Plan, sharding: Sharding) -> Plan:
    """Return the plan with its images on every device."""
    train, validation = sharding.replicate((plan.data.train, plan.data.validation))
    return replace(plan, data=replace(plan.data, train=train, validation=validation))


class EpochRunner:
    """Runs the steps of one training, an epoch at a time.

    Args:
        model: compiled and built.
        plan: what to do.
        trainer: compiled steps of the mode ``train``, of a model of the same form.
    """

    def __init__(self, model: keras.Model, plan: Plan, trainer: CompiledSteps) -> None:
        self.model = model
        self.plan = plan
        self.trainer = trainer
        self.pace = Pace()
        listening = [callback for callback in plan.control.callbacks if needs_batches(callback)]
        self.batch_by_batch = bool(listening)
        for callback in listening:
            plan.control.progress.on_note(
                f"{type(callback).__name__} has hooks on batches, so training runs batch by batch,"
                " which is slower"
            )

    def run(self, epoch: int, books: Bookkeeping, on_steps: OnSteps, done: int = 0) -> float:
        """Run an epoch's steps; return their seconds, without compiling.

        Args:
            epoch: from 0.
            books: called with the means after each range of steps, and to keep checkpoints.
            on_steps: called with the progress.
            done: steps of the epoch that were taken before.
        """
        schedule, data = self.plan.schedule, self.plan.data
        parts = batches(order(self.plan, epoch), schedule.batch_size)
        total, begun = sum(map(len, parts)), time.perf_counter()
        compiled = self.trainer.compile_seconds
        self.square = square_of(schedule.resizing, epoch)
        self.inputs = run_inputs(self.model, data.augment, data.class_weights, data.teacher)
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
            ends = books.after_steps(logs)
            books.keep_within(state, done)
            if ends:
                break
        put_state(self.model, state, "train")
        return time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)

    def _ranges(
        self, parts: list[NDArray[np.int32]], done: int
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches, start, stop), without the steps already done."""
        for part in parts:
            start = min(done, len(part))
            while start < len(part):
                # As in fit, one step is taken if training is to stop before the epoch has begun.
                single = self.batch_by_batch or self.model.stop_training
                stop = min(len(part), start + (1 if single else self.pace.steps()))
                yield part, start, stop
                start = stop
            done = max(0, done - len(part))

    def _chunk(
        self, state: State, part: NDArray[np.int32], start: int, stop: int, epoch: int
    ) -> tuple[State, Row]:
        """Run a range of steps and wait for it."""
        begun, compiled = time.perf_counter(), self.trainer.compile_seconds
        state, last = self.trainer.run(
            state, self.plan.data.train, part, start, stop, epoch, self.inputs, self.square
        )
        logs = {key: float(value) for key, value in last.items()}
        seconds = time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)
        self.pace.seconds = seconds / (stop - start)
        return state, logs


class Pace:
    """Cuts the steps of an epoch into ranges, of about ``CHUNK_SECONDS`` unless steps are slow.

    Attributes:
        seconds: per step in the last range; set by the caller.
    """

    def __init__(self) -> None:
        self.seconds = math.inf

    def steps(self) -> int:
        """Return how many steps the next range has."""
        return steps_in(self.seconds)


def steps_in(seconds: float) -> int:
    """Return how many steps of so many seconds are computed without Python."""
    slow = min(SLOW, int(SECONDS / seconds))
    return max(1, slow, int(CHUNK_SECONDS / seconds))


def order(plan: Plan, epoch: int) -> NDArray[np.int32]:
    """Return the order of the images in an epoch, counted from 0: int32 [n]."""
    rows = np.arange(len(plan.data.train), dtype=np.int32)
    if not plan.schedule.shuffle:
        return rows
    return np.random.default_rng([plan.schedule.seed, epoch]).permutation(rows)
