"""Findings about a run in plain words, each with the numbers that it rests on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlplab.recipes.recipe import Recipe
from mlplab.report.history import Curves, read_curves
from mlplab.report.images import OF_IMAGES
from mlplab.report.judgement import (
    calibration,
    dead_units,
    flattered,
    tested_on_selection,
    weak_class,
)
from mlplab.report.learning import (
    divergence,
    early_stopping,
    overfitting,
    plateau,
    rewound,
    under_training,
)
from mlplab.runs.record import Finding, Record

Reading = Callable[[Curves, Record, Recipe], Finding | None]

# In the order in which they are shown: the most serious first, those that only describe last.
OF_CURVES: tuple[Reading, ...] = (overfitting, under_training, plateau, early_stopping)
OF_METRICS: tuple[Callable[[Record], Finding | None], ...] = (
    rewound,
    tested_on_selection,
    flattered,
    dead_units,
    weak_class,
    calibration,
    *OF_IMAGES,
)


def findings(record: Record, history: Sequence[Mapping[str, Any]], recipe: Recipe) -> list[Finding]:
    """Read a run's curves and metrics.

    If the run diverged, nothing else is said about its curves, which no longer mean anything.

    Args:
        record: the facts of the run.
        history: the rows of ``metrics.jsonl``, one per epoch: ``epoch`` (from 1), ``loss``,
            ``accuracy``, ``val_loss``, ``val_accuracy``, ``learning_rate``; any may be missing.
        recipe: of the run; advice starts from its settings.
    """
    curves = read_curves(record.best_epoch, history)
    diverged = divergence(curves, record, recipe)
    if diverged is not None:
        read: list[Finding | None] = [diverged]
    else:
        read = [reading(curves, record, recipe) for reading in OF_CURVES]
    read += [judge(record) for judge in OF_METRICS]
    return [finding for finding in read if finding is not None]
