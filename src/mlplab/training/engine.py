"""The training loop: what Keras's ``fit`` computes, with Python called a few times a second.

Callbacks see what they see under ``fit``: before each of their epoch-level hooks the state is in
the model's variables, and what they changed there is taken up again.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import TrainingError
from mlplab.optim.optimizers import averaged_weights
from mlplab.training.augment import Augmentation
from mlplab.training.devices import Sharding
from mlplab.training.steps import (
    Arrays,
    State,
    Stepper,
    batches,
    evaluate,
    put_state,
    take_state,
)

CHUNK_SECONDS = 0.2  # Ctrl-C is heard, and the bar moves, this often
VALIDATION_BATCH = 1000  # large enough for the matrix rate, small enough for a wide network
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")

Ending = Literal["epochs", "callback", "interrupted", "diverged"]
Row = dict[str, float]


class Watcher(Protocol):
    """What the loop tells the outside while it runs."""

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
        """Hear of ``done`` of ``total`` steps of an epoch (counted from 1), with its means."""

    def on_row(self, row: Row) -> None:
        """Hear of an epoch's complete row."""

    def on_note(self, text: str) -> None:
        """Hear of something that the user should know."""


class Silent:
    """A watcher that does not look."""

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None: ...

    def on_row(self, row: Row) -> None: ...

    def on_note(self, text: str) -> None: ...


@dataclass
class Fit:
    """What a training did.

    Attributes:
        rows: one for each epoch: ``epoch`` (from 1), ``loss``, ``accuracy``, their ``val_`` forms,
            ``learning_rate`` (at its begin), ``seconds`` (its steps alone).
        ending: why it ended.
        compile_seconds: spent compiling the steps of training and validation.
    """

    rows: list[Row] = field(default_factory=list)
    ending: Ending = "epochs"
    compile_seconds: float = 0.0

    @property
    def epoch_median(self) -> float:
        """Seconds that the steps of an epoch took, in the median."""
        return statistics.median(row["seconds"] for row in self.rows) if self.rows else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """How to train.

    Attributes:
        train: what to train on.
        validation: measured after each epoch, or ``None``.
        epochs: at most so many.
        batch_size: images a step; the last step of an epoch takes what is left.
        seed: with the epoch, decides the order of the images.
        shuffle: ``False`` keeps the split's own order in every epoch.
        class_weights: float32 [classes], the weight of an example in the loss by its class.
        augment: changes the batches of training, inside the compiled step.
        callbacks: Keras callbacks.
        watcher: hears of progress.
        devices: two or more share each batch; otherwise JAX's default device has it.
        should_stop: asked several times a second; ``True`` ends training after that chunk.
    """

    train: Arrays
    validation: Arrays | None = None
    epochs: int = 1
    batch_size: int = 32
    seed: int = 0
    shuffle: bool = True
    class_weights: NDArray[np.float32] | None = None
    augment: Augmentation | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    watcher: Watcher = field(default_factory=Silent)
    devices: Sequence[jax.Device] = ()
    should_stop: Callable[[], bool] = lambda: False


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
    loop = _Loop(model, plan)
    loop.run()
    return loop.result


class _Loop:
    """One training, epoch by epoch."""

    def __init__(self, model: keras.Model, plan: Plan) -> None:
        self.model = model
        sharding = Sharding(plan.devices) if len(plan.devices) > 1 else None
        self.plan = plan if sharding is None else _placed(plan, sharding)
        self.trainer = Stepper(model, "train", plan.class_weights, plan.augment, sharding)
        self.tester = Stepper(model, "test", sharding=sharding)
        self.result = Fit()
        self.pace = math.inf  # seconds a step, in the last chunk
        self.swapped: list[tuple[Any, jax.Array, jax.Array]] = []
        self.callbacks = keras.callbacks.CallbackList(
            list(plan.callbacks),
            add_history=True,
            model=model,
            epochs=plan.epochs,
            steps=math.ceil(len(plan.train) / plan.batch_size),
        )
        self.batch_by_batch = any(map(_on_batches, plan.callbacks))
        for callback in plan.callbacks:
            name = type(callback).__name__
            if _on_batches(callback):
                plan.watcher.on_note(
                    f"{name} listens to batches: training goes batch by batch, slower"
                )
            if _overrides(callback, TEST_BATCH_HOOKS):
                plan.watcher.on_note(
                    f"{name} listens to batches of validation, which it will not hear:"
                    " validation is measured in one piece"
                )

    def run(self) -> None:
        model = self.model
        model.stop_training = False
        logs: Row = {}
        self.callbacks.on_train_begin()
        for epoch in range(self.plan.epochs):
            self._swap_back()
            model.reset_metrics()
            self.callbacks.on_epoch_begin(epoch)
            rate = float(model.optimizer.learning_rate)
            logs, seconds = self._steps(epoch)
            self._swap_average_in()
            if self.result.ending == "interrupted":
                break
            logs |= self._validate() | {"learning_rate": rate}
            row = {"epoch": epoch + 1, **logs, "seconds": round(seconds, 4)}
            self.result.rows.append(row)
            self.plan.watcher.on_row(row)
            self.callbacks.on_epoch_end(epoch, logs)
            if not all(map(math.isfinite, logs.values())):
                self.result.ending = "diverged"
            elif self.plan.should_stop():
                self.result.ending = "interrupted"
            if self.result.ending != "epochs":
                break
            if model.stop_training:
                self.result.ending = "callback"
                break
        # As in fit: an average goes into the weights before a callback restores its own.
        model.optimizer.finalize_variable_values(model.trainable_variables)
        self.callbacks.on_train_end(logs)
        if self.trainer.sharding is not None:
            put_state(
                model, jax.device_put(take_state(model, "train"), self.plan.devices[0]), "train"
            )
        self.result.compile_seconds = self.trainer.compile_seconds + self.tester.compile_seconds

    def _steps(self, epoch: int) -> tuple[Row, float]:
        """Run one epoch's steps; return its means and its seconds, compiling left out."""
        order = np.arange(len(self.plan.train), dtype=np.int32)
        if self.plan.shuffle:
            order = np.random.default_rng([self.plan.seed, epoch]).permutation(order)
        parts = batches(order, self.plan.batch_size)
        total, done, begun = sum(map(len, parts)), 0, time.perf_counter()
        compiled = self.trainer.compile_seconds
        logs: Row = {}
        state = take_state(self.model, "train")
        for part, start, stop in self._chunks(parts):
            if self.batch_by_batch:
                put_state(self.model, state, "train")
                self.callbacks.on_train_batch_begin(done)
                state = take_state(self.model, "train")
            state, logs = self._chunk(state, part, start, stop, epoch)
            done += stop - start
            if self.batch_by_batch:
                put_state(self.model, state, "train")
                self.callbacks.on_train_batch_end(done - 1, logs)
                state = take_state(self.model, "train")
            self.plan.watcher.on_steps(epoch + 1, done, total, logs)
            if self._must_end(logs):
                break
        put_state(self.model, state, "train")
        return logs, time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)

    def _chunks(
        self, parts: list[NDArray[np.int32]]
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches, start, stop), each range about ``CHUNK_SECONDS`` long."""
        for part in parts:
            start = 0
            while start < len(part):
                size = 1 if self.batch_by_batch else max(1, int(CHUNK_SECONDS / self.pace))
                stop = min(len(part), start + size)
                yield part, start, stop
                start = stop

    def _chunk(
        self, state: State, part: NDArray[np.int32], start: int, stop: int, epoch: int
    ) -> tuple[State, Row]:
        """Run a range of steps and wait for it."""
        begun, compiled = time.perf_counter(), self.trainer.compile_seconds
        state, last = self.trainer.run(state, self.plan.train, part, start, stop, epoch)
        logs = {key: float(value) for key, value in last.items()}
        seconds = time.perf_counter() - begun - (self.trainer.compile_seconds - compiled)
        self.pace = seconds / (stop - start)
        return state, logs

    def _must_end(self, logs: Row) -> bool:
        """Decide after a chunk whether the epoch ends here."""
        if not math.isfinite(logs["loss"]):
            self.result.ending = "diverged"
            for callback in self.plan.callbacks:
                if isinstance(callback, keras.callbacks.TerminateOnNaN) and callback.raise_error:
                    raise TrainingError("the loss is no longer finite; lower the learning rate")
        elif self.plan.should_stop():
            self.result.ending = "interrupted"
        return self.result.ending != "epochs" or bool(self.model.stop_training)

    def _validate(self) -> Row:
        if self.plan.validation is None:
            return {}
        self.callbacks.on_test_begin()
        logs = evaluate(self.tester, self.plan.validation, VALIDATION_BATCH)
        self.callbacks.on_test_end(logs)
        return {f"val_{key}": value for key, value in logs.items()}

    def _swap_average_in(self) -> None:
        """Put the optimizer's average, where it keeps one, into the weights to be judged."""
        optimizer, weights = self.model.optimizer, self.model.trainable_variables
        values = [variable.value for variable in weights]
        averages = averaged_weights(optimizer, values, [v.value for v in optimizer.variables])
        for variable, value, average in zip(weights, values, averages or [], strict=False):
            variable.assign(average)
            self.swapped.append((variable, value, variable.value))

    def _swap_back(self) -> None:
        """Go on from the trained weights, but where a callback has set others."""
        for variable, value, shown in self.swapped:
            if variable.value is shown:
                variable.assign(value)
        self.swapped.clear()


def _placed(plan: Plan, sharding: Sharding) -> Plan:
    """Return the plan with its images on every device."""
    if not sharding.divides(plan.batch_size):
        plan.watcher.on_note(
            f"batches of {plan.batch_size} cannot be divided among {sharding.count} devices: each"
            " computes all of them; choose a multiple for training.batch_size"
        )

    def everywhere(split: Arrays) -> Arrays:
        return Arrays(*sharding.replicate((split.x, split.y)))

    validation = None if plan.validation is None else everywhere(plan.validation)
    return replace(plan, train=everywhere(plan.train), validation=validation)


def _on_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback overrides a hook on batches that chunks of steps do not serve."""
    if isinstance(callback, keras.callbacks.TerminateOnNaN):
        return False  # the loop itself ends at a loss that is not finite
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq == "epoch":
        return False  # its batch hook does nothing then
    return _overrides(callback, BATCH_HOOKS)


def _overrides(callback: keras.callbacks.Callback, hooks: Sequence[str]) -> bool:
    return any(
        getattr(getattr(callback, hook), "__func__", None)
        is not getattr(keras.callbacks.Callback, hook)
        for hook in hooks
    )
