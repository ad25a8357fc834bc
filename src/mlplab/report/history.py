"""The rows of ``metrics.jsonl`` as columns, and when they cross, turn and level off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.report.formatting import is_number

# A validation loss 2 % above its minimum has turned; epochs differ by about 1 % from noise alone.
RISE = 0.02
# A fall by less than 1 % is no progress, for the same reason.
PROGRESS = 0.01
# A learning rate that fell to a tenth of its peak was annealed: the loss is meant to level off.
ANNEALED = 0.1


@dataclass(frozen=True)
class Curves:
    """The history by column, float64 [epochs], NaN where a value is missing.

    Attributes:
        best: index of the epoch whose weights were kept, -1 if unknown.
        unreal: index of the first epoch whose loss is infinite or not a number, or None.
    """

    epoch: NDArray[np.int64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    val_accuracy: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    best: int
    unreal: int | None

    @property
    def validated(self) -> bool:
        """Whether every epoch has a validation loss."""
        return len(self.epoch) > 0 and bool(np.isfinite(self.val_loss).all())

    @property
    def turned(self) -> int | None:
        """The epoch of the lowest validation loss, if it rose while the training loss fell."""
        if not self.validated:
            return None
        lowest = int(self.val_loss.argmin())
        rose = self.val_loss[-1] > (1 + RISE) * self.val_loss[lowest]
        return int(self.epoch[lowest]) if rose and self.loss[-1] < self.loss[lowest] else None

    @property
    def crossed(self) -> int | None:
        """The epoch from which the training loss stays below the validation loss."""
        above = np.flatnonzero(~(self.loss < self.val_loss))
        first = int(above[-1]) + 1 if len(above) else 0
        return int(self.epoch[first]) if first < len(self.epoch) else None

    @property
    def annealed(self) -> bool:
        """Whether the learning rate was annealed, so that the loss levels off by design."""
        rate = self.learning_rate
        return bool(len(rate) and np.isfinite(rate).all() and rate[-1] < ANNEALED * rate.max())


def epoch_of(row: Mapping[str, Any]) -> int | None:
    """Return the epoch of a row, from 1, or ``None`` if a damaged file has none."""
    value = row.get("epoch")
    return int(value) if is_number(value) and 1 <= value < 2**31 else None


def read_curves(best_epoch: int, history: Sequence[Mapping[str, Any]]) -> Curves:
    """Put the rows of ``metrics.jsonl`` into columns.

    Args:
        best_epoch: from 1, the epoch whose weights were kept; 0 if unknown.
        history: the rows.
    """

    def column(name: str) -> NDArray[np.float64]:
        values = (row.get(name) for row in history)
        return np.array([v if is_number(v) else np.nan for v in values], np.float64)

    epoch = np.array([epoch_of(row) or i + 1 for i, row in enumerate(history)], np.int64)
    found = np.flatnonzero(epoch == best_epoch)
    # JSON may hold NaN as null: a loss that is present but not a number counts, a missing one not.
    unreal = [
        index
        for index, row in enumerate(history)
        if any(key in row and not is_number(row[key]) for key in ("loss", "val_loss"))
    ]
    return Curves(
        epoch=epoch,
        best=int(found[0]) if len(found) else -1,
        unreal=unreal[0] if unreal else None,
        **{
            name: column(name)
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
        },
    )


def idle_epochs(loss: NDArray[np.float64]) -> int:
    """Return for how many epochs a loss has not fallen by more than :data:`PROGRESS`."""
    reached = np.flatnonzero(loss <= (1 + PROGRESS) * loss.min())
    return len(loss) - 1 - int(reached[0]) if len(reached) else 0
