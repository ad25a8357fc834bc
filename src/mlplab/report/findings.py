"""What a run teaches, in the words of a good teacher, each with the numbers that it rests on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlplab.report.history import Curves, read_curves
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

Finding = dict[str, Any]
Reading = Callable[[Curves, Mapping[str, Any], Mapping[str, Any]], Finding | None]

# In the order in which they are told: what spoils the run first, what merely describes it last.
OF_CURVES: tuple[Reading, ...] = (overfitting, under_training, plateau, early_stopping)
OF_METRICS = (tested_on_selection, flattered, dead_units, weak_class, calibration)


def findings(
    record: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    recipe: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Read a run's curves and metrics.

    A run that diverged is told that and nothing about its curves, which no longer mean anything.

    Args:
        record: the facts of the run, as in ``record.json``.
        history: the rows of ``metrics.jsonl``, one an epoch: ``epoch`` (from 1), ``loss``,
            ``accuracy``, ``val_loss``, ``val_accuracy``, ``learning_rate``; any may be missing.
        recipe: the complete recipe as tables. With it, suggestions start from the run's own
            settings, and the limit of epochs is known.

    Returns:
        Dicts of ``kind``, ``text`` and ``evidence`` (JSON-able numbers and names).
    """
    curves, settings = read_curves(record, history), recipe or {}
    diverged = divergence(curves, record, settings)
    if diverged is not None:
        read = [diverged]
    else:
        told = (reading(curves, record, settings) for reading in OF_CURVES)
        read = [finding for finding in told if finding is not None]
    judged = (judge(record) for judge in (rewound, *OF_METRICS))
    return read + [finding for finding in judged if finding is not None]
