"""One run's side of a training: its callbacks, its rows, its average, and how it ends.

Whoever runs the steps (:mod:`mlplab.training.engine` for one run, ``population`` for many) tells
it of each epoch.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import keras

from mlplab.errors import TrainingError
from mlplab.optim.optimizers import averaged_weights
from mlplab.training.plan import Fit, Plan, Row
from mlplab.training.steps import Stepper, evaluate

VALIDATION_BATCH = 1000  # large enough for the matrix rate, small enough for a wide network
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")


class Bookkeeping:
    """One training, but for its steps.

    Args:
        model: compiled and built.
        plan: what to do.
        tester: a stepper of the mode ``test``, of a model of the same form.

    Attributes:
        result: what was done so far.
        over: whether no further epoch is to be trained.
    """

    def __init__(self, model: keras.Model, plan: Plan, tester: Stepper) -> None:
        self.model = model
        self.plan = plan
        self.tester = tester
        self.result = Fit()
        self.over = False
        self.epoch = 0
        self.rate = 0.0
        # In one program: operation by operation, JAX would compile each of them.
        schedule = model.optimizer._learning_rate
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        self.schedule = jax.jit(schedule.__call__) if scheduled else None
        self.logs: Row = {}
        self.swapped: list[tuple[Any, jax.Array, jax.Array]] = []
        self.callbacks = keras.callbacks.CallbackList(
            list(plan.callbacks),
            add_history=True,
            model=model,
            epochs=plan.epochs,
            steps=math.ceil(len(plan.train) / plan.batch_size),
        )
        for callback in plan.callbacks:
            if _overrides(callback, TEST_BATCH_HOOKS):
                plan.watcher.on_note(
                    f"{type(callback).__name__} listens to batches of validation, which it will"
                    " not hear: validation is measured in one piece"
                )

    def begin(self) -> None:
        """Tell the callbacks that training begins."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()

    def begin_epoch(self, epoch: int) -> None:
        """Make the model ready for the steps of an epoch, counted from 0."""
        self.epoch = epoch
        self._swap_back()
        self.model.reset_metrics()
        self.callbacks.on_epoch_begin(epoch)
        self.rate = self._rate()

    def _rate(self) -> float:
        optimizer = self.model.optimizer
        if self.schedule is None:
            return float(optimizer.learning_rate)
        return float(self.schedule(optimizer.iterations.value))

    def hear(self, logs: Row) -> bool:
        """Take up the means after a range of steps; return whether the epoch ends there."""
        self.logs = logs
        if not math.isfinite(logs["loss"]):
            self.result.ending = "diverged"
            for callback in self.plan.callbacks:
                if isinstance(callback, keras.callbacks.TerminateOnNaN) and callback.raise_error:
                    raise TrainingError("the loss is no longer finite; lower the learning rate")
        elif self.plan.should_stop():
            self.result.ending = "interrupted"
        return self.result.ending != "epochs" or bool(self.model.stop_training)

    def end_epoch(self, seconds: float) -> None:
        """Validate, write the row and tell the callbacks, the trained weights being in the model.

        Args:
            seconds: that the epoch's steps took.
        """
        self._swap_average_in()
        if self.result.ending == "interrupted":
            self.over = True
            return
        self.logs |= self._validate() | {"learning_rate": self.rate}
        row = {"epoch": self.epoch + 1, **self.logs, "seconds": round(seconds, 4)}
        self.result.rows.append(row)
        self.plan.watcher.on_row(row)
        self.callbacks.on_epoch_end(self.epoch, self.logs)
        if not all(map(math.isfinite, self.logs.values())):
            self.result.ending = "diverged"
        elif self.plan.should_stop():
            self.result.ending = "interrupted"
        elif self.model.stop_training:
            self.result.ending = "callback"
        self.over = self.result.ending != "epochs" or self.epoch + 1 == self.plan.epochs

    def end(self) -> None:
        """Leave in the model the weights that are the result."""
        # As in fit: an average goes into the weights before a callback restores its own.
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.callbacks.on_train_end(self.logs)

    def _validate(self) -> Row:
        if self.plan.validation is None:
            return {}
        self.callbacks.on_test_begin()
        logs = evaluate(self.tester, self.plan.validation, VALIDATION_BATCH, self.model)
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


def on_batches(callback: keras.callbacks.Callback) -> bool:
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
