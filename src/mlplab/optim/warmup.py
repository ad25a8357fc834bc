"""A learning rate that rises linearly from zero to its peak, then falls to a final value."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import keras
from keras import ops
from pydantic import Field

Rate = Annotated[float, Field(ge=0)]


def _line(progress: Any) -> Any:
    return 1.0 - progress


def _half_cosine(progress: Any) -> Any:
    return 0.5 * (1.0 + ops.cos(math.pi * progress))


class _Warmup(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then a decay whose form the two classes below define.

    With W steps of warm-up (``warmup_epochs`` in whole steps) in a training of T steps, counted
    from 0, the rate is ``peak (step + 1) / W`` for the first W steps: no step is spent at 0, and
    the peak is reached with the last of them. Afterwards a share (step - W) / (T - W) of the decay
    has passed; ``final_learning_rate`` is reached as the training ends, and held.

    Args:
        peak_learning_rate: in a recipe, the optimizer's unless given.
        warmup_epochs: length of the warm-up in epochs; fractions are allowed, 0 means none.
        final_learning_rate: rate at the end of the decay.
        steps_per_epoch: batches in an epoch.
        epochs: epochs in the training.

    Raises:
        ValueError: if the warm-up is as long as the training or the final rate above the peak.
    """

    # The share of the way down that remains after a share of the decay, in [0, 1].
    _remaining: Callable[[Any], Any]

    def __init__(
        self,
        peak_learning_rate: Annotated[float, Field(gt=0)],
        warmup_epochs: Annotated[float, Field(ge=0)] = 1.0,
        final_learning_rate: Rate = 0.0,
        *,
        steps_per_epoch: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.peak_learning_rate = peak_learning_rate
        self.warmup_epochs = warmup_epochs
        self.final_learning_rate = final_learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.warmup_steps = round(warmup_epochs * steps_per_epoch)
        self.total_steps = steps_per_epoch * epochs
        if self.warmup_steps >= self.total_steps:
            raise ValueError(
                f"warmup_epochs = {warmup_epochs} ({self.warmup_steps} steps) must be less than "
                f"training.epochs = {epochs} ({self.total_steps} steps); "
                "schedule.warmup_epochs=0 leaves it out"
            )
        if final_learning_rate > peak_learning_rate:
            raise ValueError(
                f"final_learning_rate = {final_learning_rate} must not be above the peak, "
                f"{peak_learning_rate}"
            )

    def __call__(self, step: Any) -> Any:
        """Return the rate, a float32 scalar, at a step counted from 0."""
        step = ops.cast(step, "float32")
        rising = self.peak_learning_rate * (step + 1) / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        drop = self.peak_learning_rate - self.final_learning_rate
        falling = self.final_learning_rate + drop * self._remaining(ops.clip(progress, 0.0, 1.0))
        # Rounding may raise the first value of the decay above the peak.
        falling = ops.minimum(falling, self.peak_learning_rate)
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_epochs": self.warmup_epochs,
            "final_learning_rate": self.final_learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
        }


@keras.saving.register_keras_serializable(package="mlplab")
class WarmupLinear(_Warmup):
    """Linear warm-up, then a straight line down."""

    _remaining = staticmethod(_line)


@keras.saving.register_keras_serializable(package="mlplab")
class WarmupCosine(_Warmup):
    """Linear warm-up, then half a cosine down (Loshchilov & Hutter 2017, SGDR, eq. 5)."""

    _remaining = staticmethod(_half_cosine)
