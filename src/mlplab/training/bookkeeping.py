"""One run's side of a training: its callbacks, its rows, its average, its checkpoints, its end.

Whoever runs the steps (:mod:`mlplab.training.engine` for one run, ``population`` for many) tells
it of each epoch.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.errors import RunError, TrainingError
from mlplab.optim.optimizers import averaged_weights
from mlplab.training import checkpoint
from mlplab.training.constants import RATES
from mlplab.training.plan import Fit, Plan, Row
from mlplab.training.steps import State, Stepper, evaluate, variables

VALIDATION_BATCH = 1000  # large enough for the matrix rate, small enough for a wide network
REWINDS = 3  # who diverges a fourth time has another fault than the learning rate
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
        next_epoch: to be trained, from 0.
        over: whether no further epoch is to be trained.
    """

    def __init__(self, model: keras.Model, plan: Plan, tester: Stepper) -> None:
        self.model = model
        self.plan = plan
        self.tester = tester
        self.result = Fit()
        self.next_epoch = 0
        self.over = False
        self.epoch = 0
        self.rate = 0.0
        self.logs: Row = {}
        self.swapped: list[tuple[Any, jax.Array, jax.Array]] = []
        self.good: Sequence[Sequence[Any]] = ()
        self._schedule: Any = None
        self._within_epoch = False
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
        """Tell the callbacks that training begins, and go back to where a checkpoint was made."""
        resumed = self.plan.resumed
        self.model.stop_training = False
        for callback in self.callbacks.callbacks if resumed else ():
            if isinstance(callback, keras.callbacks.CSVLogger):
                callback.append = True  # or it would empty its file
        self.callbacks.on_train_begin()
        if resumed:
            self.next_epoch = resumed["epoch"]
            self.over = resumed["over"] or self.next_epoch >= self.plan.epochs
            self._within_epoch = resumed["done"] > 0
            for _ in resumed["rewinds"]:
                self._halve_schedule()
            self._restore(resumed)

    def begin_epoch(self, epoch: int) -> int:
        """Make the model ready for the steps of an epoch, counted from 0.

        Returns:
            How many of its steps were done before a checkpoint within it.
        """
        self.epoch = epoch
        self._swap_back()
        self.model.reset_metrics()
        # Beside the model, whose own arrays the steps will take.
        self.good = [[jnp.copy(array) for array in group] for group in self._state()]
        self.callbacks.on_epoch_begin(epoch)
        self.rate = self._rate()
        resumed = self.plan.resumed
        if not self._within_epoch or resumed is None:
            return 0
        self._within_epoch = False
        self._restore(resumed)  # undoes what the callbacks have now done a second time
        self.rate, self.good = resumed["rate"], resumed["good"]
        return int(resumed["done"])

    def _rate(self) -> float:
        optimizer = self.model.optimizer
        if not self._scheduled:
            return float(optimizer.learning_rate)
        if self._schedule is None:
            # In one program: operation by operation, JAX would compile each of them.
            self._schedule = jax.jit(optimizer._learning_rate.__call__)
        return float(self._schedule(optimizer.iterations.value))

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
        self.logs |= self._validate() | {"learning_rate": self.rate} | self.plan.look(self.model)
        if not all(map(math.isfinite, self.logs.values())):
            self.result.ending = "diverged"
            if self._rewind():
                return
        row = {"epoch": self.epoch + 1, **self.logs, "seconds": round(seconds, 4)}
        self.result.rows.append(row)
        self.plan.watcher.on_row(row)
        self.callbacks.on_epoch_end(self.epoch, self.logs)
        self.next_epoch = self.epoch + 1
        if self.result.ending == "diverged":
            self.swapped.clear()
            self._put(self.good)
            self._swap_average_in()
        elif self.plan.should_stop():
            self.result.ending = "interrupted"
        elif self.model.stop_training:
            self.result.ending = "callback"
        self.over = self.result.ending != "epochs" or self.next_epoch == self.plan.epochs
        self._keep_after()

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

    def _rewind(self) -> bool:
        """Begin a diverged epoch anew with half the learning rate, where that is asked."""
        rewinds = self.result.rewinds
        if self.plan.on_divergence != "rewind" or len(rewinds) == REWINDS:
            return False
        self.swapped.clear()
        self._put(self.good)
        if self._scheduled:
            self._halve_schedule()
        else:
            optimizer = self.model.optimizer
            optimizer.learning_rate = float(optimizer.learning_rate) / 2
        self.result.ending = "epochs"
        rewinds.append({"epoch": self.epoch + 1, "learning_rate": self._rate()})
        self.plan.watcher.on_note(
            f"the loss was no longer finite in epoch {self.epoch + 1}: back to its begin with half"
            f" the learning rate, {rewinds[-1]['learning_rate']:.3g}"
        )
        return True

    @property
    def _scheduled(self) -> bool:
        schedule = self.model.optimizer._learning_rate
        return isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)

    def _halve_schedule(self) -> None:
        schedule = self.model.optimizer._learning_rate
        for name in RATES:
            if hasattr(schedule, name):
                setattr(schedule, name, getattr(schedule, name) / 2)
        self._schedule = None

    def keep_within(self, state: State, done: int) -> None:
        """Write a checkpoint after so many steps of an epoch, if it is time or training stops."""
        keeper, ending = self.plan.keeper, self.result.ending
        if keeper and (ending == "interrupted" or (ending == "epochs" and keeper.due(True))):
            keeper.keep(self._saved(self.epoch, done, state))

    def _keep_after(self) -> None:
        """Write a checkpoint after an epoch, if it is time or training stops."""
        keeper, ending = self.plan.keeper, self.result.ending
        if keeper and ending != "diverged" and (ending == "interrupted" or keeper.due(False)):
            keeper.keep(self._saved(self.next_epoch, 0, self._state()))

    def _saved(self, epoch: int, done: int, state: Sequence[Sequence[jax.Array]]) -> dict[str, Any]:
        """Return the training as a checkpoint holds it, after ``done`` steps of an epoch."""
        trained = {
            id(variable): value
            for variable, value, shown in self.swapped
            if bool(jnp.array_equal(variable.value, shown))
        }
        return {
            "epoch": epoch,
            "done": done,
            "over": bool(self.model.stop_training),
            "state": state,
            "good": self.good if done else None,
            "trained": [trained.get(id(variable)) for variable in self.model.trainable_variables],
            "rows": self.result.rows,
            "rewinds": self.result.rewinds,
            "logs": self.logs,
            "rate": self.rate,
            "callbacks": [checkpoint.callback_state(c) for c in self.callbacks.callbacks],
            "random": checkpoint.random_state(),
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        try:
            if (
                saved["epoch"] > self.plan.epochs
                or saved["done"] * self.plan.batch_size
                >= len(self.plan.train) + self.plan.batch_size
            ):
                raise ValueError("it is further than the training goes")
            if len(saved["callbacks"]) != len(self.callbacks.callbacks):
                raise ValueError("it is of other callbacks")
            self._put(saved["state"])
            self.swapped = [
                (variable, jnp.asarray(trained), jnp.copy(variable.value))
                for variable, trained in zip(
                    self.model.trainable_variables, saved["trained"], strict=True
                )
                if trained is not None
            ]
            checkpoint.restore_random(saved["random"])
        except (KeyError, TypeError, ValueError) as error:
            detail = str(error).partition("\n")[0]
            raise RunError(f"the checkpoint does not fit this network: {detail}") from None
        self.result.rows = list(saved["rows"])
        self.result.rewinds = list(saved["rewinds"])
        self.logs = dict(saved["logs"])
        for callback, state in zip(self.callbacks.callbacks, saved["callbacks"], strict=True):
            checkpoint.restore_callback(callback, state)

    def _state(self) -> list[list[jax.Array]]:
        return [[variable.value for variable in group] for group in variables(self.model, "train")]

    def _put(self, state: Sequence[Sequence[Any]]) -> None:
        for group, arrays in zip(variables(self.model, "train"), state, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                variable.assign(array)

    def _swap_average_in(self) -> None:
        """Put the optimizer's average, where it keeps one, into the weights to be judged."""
        optimizer, weights = self.model.optimizer, self.model.trainable_variables
        values = [variable.value for variable in weights]
        averages = averaged_weights(optimizer, values, [v.value for v in optimizer.variables])
        for variable, value, average in zip(weights, values, averages or [], strict=False):
            # A copy: Keras's predict and evaluate donate the weights, and the average is another's.
            variable.assign(jnp.copy(average))
            self.swapped.append((variable, value, jnp.copy(average)))

    def _swap_back(self) -> None:
        """Go on from the trained weights, but where a callback has set others."""
        for variable, value, shown in self.swapped:
            if bool(jnp.array_equal(variable.value, shown)):
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
