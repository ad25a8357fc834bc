"""One run's side of a training: its callbacks, its rows, its validation, its end.

Whatever runs the steps (:mod:`mlplab.training.engine` for one run, ``population`` for many) reports
each epoch here.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.errors import RunError, TrainingError
from mlplab.runs.checkpoint import TrainingState
from mlplab.tensorboard.of_run import RunTensorBoard
from mlplab.tracking.callback import Track
from mlplab.training.averaging import AverageSwap
from mlplab.training.checkpoints import (
    callback_state,
    random_state,
    restore_callback,
    restore_random,
)
from mlplab.training.hooks import on_validation_batches
from mlplab.training.learning_rate import LearningRate
from mlplab.training.plan import Fit, Plan, Row
from mlplab.training.steps import CompiledSteps, State, evaluate, variables

REWINDS = 3  # the learning rate is not the cause of a fourth divergence


class Bookkeeping:
    """One training, except for its steps.

    Args:
        model: compiled and built.
        plan: what to do.
        tester: compiled steps of the mode ``test``, of a model of the same form.

    Attributes:
        result: what was done so far.
        next_epoch: the next to train, from 0.
        over: whether training has ended.
    """

    def __init__(self, model: keras.Model, plan: Plan, tester: CompiledSteps) -> None:
        self.model = model
        self.plan = plan
        self.control = plan.control
        self.tester = tester
        self.result = Fit()
        self.next_epoch = 0
        self.over = False
        self.epoch = 0
        self.rate = 0.0
        self.logs: Row = {}
        self.good: Sequence[Sequence[Any]] = ()
        self.average = AverageSwap(model)
        self.learning_rate = LearningRate(model.optimizer)
        self._within_epoch = False
        self.callbacks = keras.callbacks.CallbackList(
            list(self.control.callbacks),
            add_history=True,
            model=model,
            epochs=plan.schedule.epochs,
            steps=math.ceil(len(plan.data.train) / plan.schedule.batch_size),
        )
        for callback in self.control.callbacks:
            if on_validation_batches(callback):
                self.control.progress.on_note(
                    f"{type(callback).__name__} has hooks on validation batches, which are not"
                    " called: validation is measured in one piece"
                )

    @property
    def validation_batch(self) -> int:
        """Images per step of validation."""
        return self.plan.schedule.validation_batch or self.plan.schedule.batch_size

    def begin(self) -> None:
        """Start the callbacks, and restore the state of a checkpoint, if any."""
        resumed = self.control.resumed
        self.model.stop_training = False
        self.model._initial_epoch = 0
        for callback in self.callbacks.callbacks if resumed else ():
            if isinstance(callback, keras.callbacks.CSVLogger):
                callback.append = True  # otherwise it would empty its file
        self.callbacks.on_train_begin()
        self.next_epoch = int(self.model._initial_epoch)  # which BackupAndRestore sets
        self.over = self.next_epoch >= self.plan.schedule.epochs
        if resumed:
            self.next_epoch = resumed.epoch
            self.over = resumed.over or self.next_epoch >= self.plan.schedule.epochs
            self._within_epoch = resumed.done > 0
            for _ in resumed.rewinds:
                self.learning_rate.halve_schedule()
            self._restore(resumed)

    def begin_epoch(self, epoch: int) -> int:
        """Prepare the model for the steps of an epoch, counted from 0.

        Returns:
            How many of its steps were taken before a checkpoint within the epoch.
        """
        self.epoch = epoch
        self.average.put_trained_back()
        self.model.reset_metrics()
        # Separate from the model, whose own arrays are donated to the steps.
        self.good = [[jnp.copy(array) for array in group] for group in self._state()]
        self.callbacks.on_epoch_begin(epoch)
        self.rate = self.learning_rate.now()
        resumed = self.control.resumed
        if not self._within_epoch or resumed is None:
            return 0
        self._within_epoch = False
        self._restore(resumed)  # undoes what the callbacks have just done a second time
        self.rate, self.good = resumed.rate, resumed.good
        return resumed.done

    def after_steps(self, logs: Row) -> bool:
        """Record the means after a range of steps; return whether the epoch ends there."""
        self.logs = logs
        if not math.isfinite(logs["loss"]):
            self.result.ending = "diverged"
            for callback in self.control.callbacks:
                if isinstance(callback, keras.callbacks.TerminateOnNaN) and callback.raise_error:
                    raise TrainingError("the loss is no longer finite; lower the learning rate")
        elif self.control.should_stop():
            self.result.ending = "interrupted"
        return self.result.ending != "epochs" or bool(self.model.stop_training)

    def end_epoch(self, seconds: float) -> None:
        """Validate, write the row and call the callbacks; the model has the trained weights.

        Args:
            seconds: duration of the epoch's steps.
        """
        self.average.put_average_in()
        if self.result.ending == "interrupted":
            self.over = True
            return
        self.logs |= self._validate()
        more = {"learning_rate": self.rate} | self.control.epoch_metrics(self.model)
        if not all(map(math.isfinite, (self.logs | more).values())):
            self.result.ending = "diverged"
            if self._rewind():
                return
        row = {"epoch": self.epoch + 1, **self.logs, **more, "seconds": round(seconds, 4)}
        self.result.rows.append(row)
        self.control.progress.on_row(row)
        for callback in self.control.callbacks:
            if isinstance(callback, RunTensorBoard | Track):
                callback.on_row(row)
        self.callbacks.on_epoch_end(self.epoch, self.logs)  # with the keys that fit would give
        self.next_epoch = self.epoch + 1
        if self.result.ending == "diverged":
            self._back_to_good()
            self.average.put_average_in()
        elif self.control.should_stop():
            self.result.ending = "interrupted"
        elif self.model.stop_training:
            self.result.ending = "callback"
        epochs = self.plan.schedule.epochs
        self.over = self.result.ending != "epochs" or self.next_epoch == epochs
        self._keep_after()

    def end(self) -> None:
        """Leave the resulting weights in the model."""
        # As in fit: an average goes into the weights before a callback restores its own.
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.callbacks.on_train_end(self.logs)

    def _validate(self) -> Row:
        validation = self.plan.data.validation
        if validation is None:
            return {}
        self.callbacks.on_test_begin()
        logs = evaluate(self.tester, validation, self.validation_batch, self.model)
        self.callbacks.on_test_end(logs)
        return {f"val_{key}": value for key, value in logs.items()}

    def _rewind(self) -> bool:
        """Repeat a diverged epoch with half the learning rate, if the recipe says so."""
        rewinds = self.result.rewinds
        if self.plan.schedule.on_divergence != "rewind" or len(rewinds) == REWINDS:
            return False
        self._back_to_good()
        self.learning_rate.halve()
        self.result.ending = "epochs"
        rewinds.append({"epoch": self.epoch + 1, "learning_rate": self.learning_rate.now()})
        self.control.progress.on_note(
            f"the loss was no longer finite in epoch {self.epoch + 1}: repeating it with half the"
            f" learning rate, {rewinds[-1]['learning_rate']:.3g}"
        )
        return True

    def _back_to_good(self) -> None:
        self.average.forget()
        self._put(self.good)

    def keep_within(self, state: State, done: int) -> None:
        """Write a checkpoint after ``done`` steps of an epoch, if it is time or training stops."""
        keeper, ending = self.control.keeper, self.result.ending
        if keeper and (ending == "interrupted" or (ending == "epochs" and keeper.due(True))):
            keeper.keep(self._saved(self.epoch, done, state))

    def _keep_after(self) -> None:
        """Write a checkpoint after an epoch, if it is time or training stops."""
        keeper, ending = self.control.keeper, self.result.ending
        if keeper and ending != "diverged" and (ending == "interrupted" or keeper.due(False)):
            keeper.keep(self._saved(self.next_epoch, 0, self._state()))

    def _saved(self, epoch: int, done: int, state: Sequence[Sequence[jax.Array]]) -> TrainingState:
        """Return the training as a checkpoint holds it, after ``done`` steps of an epoch."""
        return TrainingState(
            epoch=epoch,
            done=done,
            over=bool(self.model.stop_training),
            state=[list(group) for group in state],
            good=self.good if done else None,
            trained=self.average.trained(),
            rows=self.result.rows,
            rewinds=self.result.rewinds,
            logs=self.logs,
            rate=self.rate,
            callbacks=[callback_state(callback) for callback in self.callbacks.callbacks],
            random=random_state(),
        )

    def _restore(self, saved: TrainingState) -> None:
        batch_size = self.plan.schedule.batch_size
        try:
            if (
                saved.epoch > self.plan.schedule.epochs
                or saved.done * batch_size >= len(self.plan.data.train) + batch_size
            ):
                raise ValueError("it is beyond the end of the training")
            if len(saved.callbacks) != len(self.callbacks.callbacks):
                raise ValueError("it has other callbacks")
            self._put(saved.state)
            self.average.restore(saved.trained)
            restore_random(saved.random)
        except (KeyError, TypeError, ValueError) as error:
            detail = str(error).partition("\n")[0]
            raise RunError(f"the checkpoint does not fit this network: {detail}") from None
        self.result.rows = list(saved.rows)
        self.result.rewinds = list(saved.rewinds)
        self.logs = dict(saved.logs)
        for callback, state in zip(self.callbacks.callbacks, saved.callbacks, strict=True):
            restore_callback(callback, state)

    def _state(self) -> list[list[jax.Array]]:
        return [[variable.value for variable in group] for group in variables(self.model, "train")]

    def _put(self, state: Sequence[Sequence[Any]]) -> None:
        for group, arrays in zip(variables(self.model, "train"), state, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                variable.assign(array)
