"""The learning rate of a training: read at each epoch, halved when an epoch is repeated."""

from typing import Any

import jax
import keras

from mlplab.optim.optimizers import innermost
from mlplab.training.constants import RATES


class LearningRate:
    """The learning rate of a compiled model's optimizer, a number or a schedule.

    Args:
        optimizer: of the model.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = innermost(optimizer)
        self._schedule: Any = None

    @property
    def scheduled(self) -> bool:
        """Whether a schedule sets the rate."""
        schedule = self.optimizer._learning_rate
        return isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)

    def now(self) -> float:
        """Return the rate of the next step."""
        if not self.scheduled:
            return float(self.optimizer.learning_rate)
        if self._schedule is None:
            # In one program: operation by operation, JAX would compile each of them.
            self._schedule = jax.jit(self.optimizer._learning_rate.__call__)
        return float(self._schedule(self.optimizer.iterations.value))

    def halve(self) -> None:
        """Halve the rate from now on; for a schedule, all its rates."""
        if self.scheduled:
            self.halve_schedule()
        else:
            self.optimizer.learning_rate = float(self.optimizer.learning_rate) / 2

    def halve_schedule(self) -> None:
        """Halve the rates of a schedule; a constant rate is a variable, which checkpoints hold."""
        schedule = self.optimizer._learning_rate
        for name in RATES:
            if self.scheduled and hasattr(schedule, name):
                setattr(schedule, name, getattr(schedule, name) / 2)
        self._schedule = None
