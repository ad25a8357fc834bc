"""A learning-rate range test: one short training whose rate rises until the loss explodes.

After Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import figures
from mlplab.augment.pipeline import Augmentation
from mlplab.errors import TrainingError
from mlplab.optim.optimizers import innermost
from mlplab.training.arrays import Arrays
from mlplab.training.steps import CompiledSteps, batches, put_state, take_state

SMOOTHING = 0.9  # of the loss, over about ten steps
EXPLODED = 2.0  # times the lowest loss; the test ends there
BACK = 2.0  # factor from the suggestion to the rate of the lowest loss
FEWEST = 20  # steps that a suggestion needs


class RangeTest(NamedTuple):
    """The result of a range test.

    Attributes:
        rates: float64 [steps], learning rate of each step.
        losses: float64 [steps], loss of each batch before its step.
        smoothed: float64 [steps], their exponential average.
        suggestion: a rate to start with, or ``None`` if the loss did not fall.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float | None

    def __repr__(self) -> str:
        if self.suggestion is None:
            return "the loss did not fall: start with a lower rate, or take more steps"
        return f"try  optimizer.learning_rate={self.suggestion:g}"

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows."""
        return figures.png(figures.range_test(*self))

    @property
    def still_falling(self) -> bool:
        """Whether the loss was lowest at the end, so that no rate was too high."""
        return int(np.nanargmin(self.smoothed)) >= len(self.smoothed) - 2


def range_test(
    model: keras.Model,
    train: Arrays,
    batch_size: int,
    seed: int,
    low: float,
    high: float,
    steps: int,
    augment: Augmentation | None = None,
    class_weights: NDArray[np.float32] | None = None,
) -> RangeTest:
    """Train for some steps, each at a higher rate; the model's weights are useless afterwards.

    Args:
        model: compiled, its optimizer at a constant rate.
        train: the training split.
        batch_size: images per step.
        seed: of the order.
        low: rate of the first step.
        high: rate of the last.
        steps: maximum number; fewer if the loss explodes.
        augment: as in training.
        class_weights: float32 [classes], as in training.
    """
    optimizer = model.optimizer
    rate = innermost(optimizer)._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise TrainingError(
            "a range test raises a constant rate, but this optimizer has a schedule"
        )
    model._symbolic_build(data_batch=(train.x[:batch_size], train.y[:batch_size]))
    place = next(i for i, variable in enumerate(optimizer.variables) if variable is rate)
    compiled = CompiledSteps(model, "train", class_weights, augment)
    order = np.random.default_rng(seed)
    rows = batches(order.permutation(len(train)).astype(np.int32), min(batch_size, len(train)))[0]
    rates = low * (high / low) ** (np.arange(steps) / max(1, steps - 1))
    state, losses = take_state(model, "train"), []
    mean, lowest = 0.0, math.inf
    for step, value in enumerate(rates):
        weights, others, slots, metrics = state
        slots = [*slots[:place], jnp.float32(value), *slots[place + 1 :]]
        # Means of one step each.
        metrics = [jnp.zeros_like(array) for array in metrics]
        row = step % len(rows)
        state, logs = compiled.run(
            (weights, others, slots, metrics), train, rows, row, row + 1, step // len(rows)
        )
        losses.append(float(logs["loss"]))
        mean = SMOOTHING * mean + (1 - SMOOTHING) * losses[-1]
        smooth = mean / (1 - SMOOTHING ** len(losses))
        lowest = min(lowest, smooth)
        if not math.isfinite(smooth) or smooth > EXPLODED * lowest + 1:
            break
    put_state(model, state, "train")
    seen = np.array(losses)
    kept = rates[: len(seen)]
    return RangeTest(kept, seen, smoothed(seen), suggested(kept, seen))


def smoothed(losses: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential average of the losses so far, at each step, without its bias."""
    result, mean = [], 0.0
    for step, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(loss)
        result.append(mean / (1 - SMOOTHING ** (step + 1)))
    return np.array(result)


def suggested(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float | None:
    """Return half of the rate at which the smoothed loss was lowest, corrected for its delay.

    ``None`` if that was at the start: every rate was too high, or the loss did not fall.
    """
    smooth = smoothed(losses)
    if len(losses) < FEWEST:
        return None
    lowest = int(np.nanargmin(smooth))
    # The mean age of the losses in the average.
    lowest = max(0, lowest - round(SMOOTHING / (1 - SMOOTHING)))
    if lowest < len(losses) // 10:
        return None
    return float(f"{rates[lowest] / BACK:.2g}")
