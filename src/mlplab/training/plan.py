"""What a training has to do, what it reports on the way, and what it did."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.augment.pipeline import Augmentation
from mlplab.errors import UserError
from mlplab.runs.checkpoint import TrainingState
from mlplab.training.arrays import Arrays
from mlplab.training.checkpoints import Keeper
from mlplab.training.teacher import Teacher

Ending = Literal["epochs", "callback", "interrupted", "diverged"]
Row = dict[str, float]


class Progress(Protocol):
    """What the loop reports while it runs."""

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
        """``done`` of ``total`` steps of an epoch (counted from 1) were taken, with these means."""

    def on_row(self, row: Row) -> None:
        """An epoch has ended, with this complete row."""

    def on_note(self, text: str) -> None:
        """Something happened that the user should know."""


class NoProgress:
    """Progress that is ignored."""

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None: ...

    def on_row(self, row: Row) -> None: ...

    def on_note(self, text: str) -> None: ...


REPORTS = ("on_steps", "on_row", "on_note")


class _Partly(NoProgress):
    """Reports to those methods that an object has."""

    def __init__(self, given: object) -> None:
        for name in REPORTS:
            if callable(method := getattr(given, name, None)):
                setattr(self, name, method)


def reporting(given: object) -> Progress:
    """Return the progress that reports to an object with any of the methods of ``Progress``.

    Args:
        given: the object; ``None`` for no reports.

    Raises:
        UserError: if it has none of them.
    """
    if given is None:
        return NoProgress()
    has = [callable(getattr(given, name, None)) for name in REPORTS]
    if all(has):
        return cast(Progress, given)
    if not any(has):
        raise UserError(
            f"progress is an object of type {type(given).__name__}, but needs at least one of the"
            f" methods {', '.join(REPORTS)}"
        )
    return _Partly(given)


class NotesOnce(NoProgress):
    """Passes on the notes of a population's members, each only once, and nothing else."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.noted: set[str] = set()

    def on_note(self, text: str) -> None:
        if text not in self.noted:
            self.noted.add(text)
            self.progress.on_note(text)


@dataclass
class Fit:
    """What a training did.

    Attributes:
        rows: one for each epoch: ``epoch`` (from 1), ``loss``, ``accuracy``, their ``val_`` forms,
            ``learning_rate`` (at its start), ``seconds`` (only its steps).
        ending: why it ended.
        rewinds: one for each time that a diverged epoch was repeated: ``epoch`` (from 1) and the
            ``learning_rate`` from then on.
        compile_seconds: spent compiling the steps of training and validation.
    """

    rows: list[Row] = field(default_factory=list)
    ending: Ending = "epochs"
    rewinds: list[Row] = field(default_factory=list)
    compile_seconds: float = 0.0

    @property
    def epoch_median(self) -> float:
        """Median of the seconds that the steps of an epoch took."""
        return statistics.median(row["seconds"] for row in self.rows) if self.rows else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingData:
    """The data of a training.

    Attributes:
        train: the training split.
        validation: measured after each epoch, or ``None``.
        class_weights: float32 [classes], the weight of an example in the loss by its class.
        augment: changes the batches of training, inside the compiled step.
        teacher: adds its predictions to the labels; the model's loss uses them.
    """

    train: Arrays
    validation: Arrays | None = None
    class_weights: NDArray[np.float32] | None = None
    augment: Augmentation | None = None
    teacher: Teacher | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSchedule:
    """How long, in what batches, in what order.

    Attributes:
        epochs: maximum number.
        batch_size: images per step; the last step of an epoch takes the rest.
        validation_batch: images per step of validation; by default as many as in training, which
            makes a difference to losses and metrics that are not means over images.
        seed: with the epoch, determines the order of the images.
        shuffle: ``False`` keeps the split's own order in every epoch.
        resizing: stages of the first epochs at a lower resolution: how many, and the side of the
            squares of pixels that are averaged.
        on_divergence: ``rewind`` repeats an epoch whose loss is not finite with half the learning
            rate, three times at most.
        worth_cpp: whether this training of a plain MLP is long enough for C++ to pay.
    """

    epochs: int = 1
    batch_size: int = 32
    validation_batch: int | None = None
    seed: int = 0
    shuffle: bool = True
    resizing: Sequence[Sequence[int]] = ()
    on_divergence: Literal["stop", "rewind"] = "stop"
    worth_cpp: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Control:
    """What observes and controls a training from outside.

    Attributes:
        callbacks: Keras callbacks.
        progress: receives the training's reports.
        devices: two or more share each batch; otherwise JAX's default device computes it.
        should_stop: called several times a second; ``True`` ends training after that chunk.
        epoch_metrics: measures the model after each epoch's validation, for more keys of its row.
        keeper: writes checkpoints.
        resumed: the training of a checkpoint, to continue from.
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    progress: Progress = field(default_factory=NoProgress)
    devices: Sequence[jax.Device] = ()
    should_stop: Callable[[], bool] = lambda: False
    epoch_metrics: Callable[[keras.Model], Row] = lambda model: {}
    keeper: Keeper | None = None
    resumed: TrainingState | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """How to train: the data, the schedule, and the control."""

    data: TrainingData
    schedule: TrainingSchedule = field(default_factory=TrainingSchedule)
    control: Control = field(default_factory=Control)
