"""The facts of a run that its findings rest on, read once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlplab.recipes.recipe import Recipe
from mlplab.report.formatting import is_number
from mlplab.report.history import Curves, read_curves
from mlplab.report.judgement import held_out
from mlplab.report.rates import ratio_to_typical
from mlplab.runs.record import Record


@dataclass(frozen=True)
class Facts:
    """A run as its findings see it.

    Attributes:
        curves: loss and accuracy by epoch.
        record: of the run.
        recipe: of the run.
    """

    curves: Curves
    record: Record
    recipe: Recipe

    @cached_property
    def split(self) -> str:
        """The name of the held-out split that is judged."""
        return held_out(self.record)[0]

    @cached_property
    def train(self) -> float | None:
        """Training accuracy of the kept weights, or else of their epoch, measured with dropout."""
        return self._accuracy(self.record.metrics.get("train") or {}, self.curves.accuracy)

    @cached_property
    def held(self) -> float | None:
        """Held-out accuracy of the kept weights."""
        return self._accuracy(held_out(self.record)[1], self.curves.val_accuracy)

    def _accuracy(self, metrics: dict[str, Any], by_epoch: Any) -> float | None:
        value = metrics.get("accuracy")
        if value is None and len(by_epoch):
            value = float(by_epoch[self.curves.best])
        return float(value) if is_number(value) else None

    @property
    def gap(self) -> float:
        """Training accuracy less held-out accuracy; 0 if one is unknown."""
        return 0.0 if self.train is None or self.held is None else self.train - self.held

    @cached_property
    def gap_is_clear(self) -> bool:
        """Whether at least five held-out images more are wrong than with no gap, beyond chance."""
        metrics = held_out(self.record)[1]
        count, high = metrics.get("n"), metrics.get("accuracy_high")
        if is_number(count) and self.gap * count < 5:
            return False
        return not (is_number(high) and self.train is not None and self.train <= high)

    @cached_property
    def guessing(self) -> float:
        """Accuracy of always predicting the most frequent class; 0 if unknown."""
        counts = self.record.images.by_class if self.record.images else []
        if not sum(counts):
            counts = (held_out(self.record)[1].get("per_class") or {}).get("support") or []
        if sum(counts):
            return max(counts) / sum(counts)
        return 1 / len(self.record.class_names) if self.record.class_names else 0.0

    @cached_property
    def learnt_nothing(self) -> bool:
        """Whether even training images are not recognised better than by guessing."""
        if self.train is None or not self.guessing:
            return False
        count = (self.record.metrics.get("train") or {}).get("n") or self.images or 1_000
        noise = 3 * math.sqrt(self.guessing * (1 - self.guessing) / count)
        return self.train < self.guessing + max(0.02, noise)

    @property
    def has_learnt(self) -> bool:
        """Whether training images are recognised several times better than by guessing."""
        if self.train is None or self.record.status == "interrupted":
            return False
        return self.train >= min(3 * self.guessing, 0.9)

    @cached_property
    def poor(self) -> bool:
        """Whether training images are recognised badly enough for a fault to be likely."""
        return self.train is not None and self.train < 0.9

    @property
    def imperfect(self) -> bool:
        """Whether accuracy is known, and leaves room for a change to show."""
        known = self.train if self.held is None else self.held
        return known is not None and known < 0.97

    @property
    def images(self) -> int | None:
        """How many images were trained on, if known."""
        if self.record.images:
            return self.record.images.count
        count = (self.record.metrics.get("train") or {}).get("n")
        return int(count) if is_number(count) else None

    @cached_property
    def steps_per_epoch(self) -> int | None:
        """How many updates of the weights an epoch has, if known."""
        return math.ceil(self.images / self.recipe.training.batch_size) if self.images else None

    @cached_property
    def rate(self) -> float | None:
        """The highest learning rate that was used."""
        used = self.curves.learning_rate
        if len(used) and np.isfinite(used).any():
            return float(np.nanmax(used))
        value = self.recipe.optimizer.params.get("learning_rate")
        return float(value) if is_number(value) else None

    @cached_property
    def rate_ratio(self) -> float | None:
        """The learning rate over one that is typical of the optimizer; ``None`` if unknown."""
        return ratio_to_typical(self.recipe.optimizer, self.rate)

    @property
    def still_learning(self) -> bool:
        """Whether the last epoch has the lowest loss, clearly below that of some epochs before."""
        return self.fall > 0.01 and not self.curves.annealed

    @cached_property
    def span(self) -> int:
        """Number of epochs over which ``fall`` is measured: the last tenth."""
        return max(1, len(self.curves.loss) // 10)

    @cached_property
    def fall(self) -> float:
        """By what share the loss fell over the last epochs, to its lowest; 0 if it did not."""
        curves = self.curves
        loss = curves.val_loss if curves.validated else curves.loss
        if len(loss) < 2 or not np.isfinite(loss).all() or int(loss.argmin()) < len(loss) - 1:
            return 0.0
        return float(1 - loss[-1] / loss[: -self.span].min())

    @property
    def layers(self) -> list[dict[str, Any]]:
        """Statistics of the layers at the end of training."""
        return self.record.diagnostics.get("layers") or []

    @property
    def dropout(self) -> float:
        """The network's dropout."""
        value = getattr(self.recipe.model, "dropout", None)
        return float(value) if is_number(value) else 0.0


def read_facts(record: Record, history: Sequence[Mapping[str, Any]], recipe: Recipe) -> Facts:
    """Return the facts of a run, from its record and the rows of ``metrics.jsonl``."""
    return Facts(read_curves(record.best_epoch, history), record, recipe)
