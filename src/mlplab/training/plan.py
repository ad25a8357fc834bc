"""What a training is asked to do, what it tells on the way, and what it did."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.training.augment import Augmentation
from mlplab.training.checkpoint import Keeper
from mlplab.training.steps import Arrays
from mlplab.training.teacher import Teacher

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
        rewinds: one for each time that a diverged epoch was begun anew: ``epoch`` (from 1) and the
            ``learning_rate`` from then on.
        compile_seconds: spent compiling the steps of training and validation.
    """

    rows: list[Row] = field(default_factory=list)
    ending: Ending = "epochs"
    rewinds: list[Row] = field(default_factory=list)
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
        resizing: stages of the first epochs at a lower resolution: how many, at which side of the
            squares of pixels that are averaged.
        teacher: answers what is shown; the model's loss wants these answers.
        callbacks: Keras callbacks.
        watcher: hears of progress.
        devices: two or more share each batch; otherwise JAX's default device has it.
        should_stop: asked several times a second; ``True`` ends training after that chunk.
        on_divergence: ``rewind`` begins an epoch whose loss is not finite anew with half the
            learning rate, three times at most.
        look: measures the model after each epoch's validation, for further keys of its row.
        keeper: writes checkpoints.
        resumed: the ``training`` of a checkpoint, to go on from.
    """

    train: Arrays
    validation: Arrays | None = None
    epochs: int = 1
    batch_size: int = 32
    seed: int = 0
    shuffle: bool = True
    class_weights: NDArray[np.float32] | None = None
    augment: Augmentation | None = None
    resizing: Sequence[Sequence[int]] = ()
    teacher: Teacher | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    watcher: Watcher = field(default_factory=Silent)
    devices: Sequence[jax.Device] = ()
    should_stop: Callable[[], bool] = lambda: False
    on_divergence: Literal["stop", "rewind"] = "stop"
    look: Callable[[keras.Model], Row] = lambda model: {}
    keeper: Keeper | None = None
    resumed: dict[str, Any] | None = None
