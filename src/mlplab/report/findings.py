"""Findings about a run in plain words, each with the numbers that it rests on.

At most one finding says what holds the network back, so that no two contradict each other: the
first of :data:`CAUSES` that applies. ``benchmarks/advice.py`` measures whether it is right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlplab.recipes.recipe import Recipe
from mlplab.report import generalisation, judgement, optimisation, stopping
from mlplab.report.facts import Facts, read_facts
from mlplab.report.images import OF_IMAGES
from mlplab.runs.record import Finding, Record

Reading = Callable[[Facts], Finding | None]

# A cause that explains others comes before them: a rate that is far too high also kills units.
CAUSES: tuple[Reading, ...] = (
    optimisation.divergence,
    optimisation.faint_inputs,
    optimisation.rate_too_high,
    optimisation.strong_penalty,
    optimisation.strong_dropout,
    generalisation.bottleneck,
    optimisation.vanishing_gradients,
    generalisation.few_images,
    optimisation.few_steps,
    optimisation.rate_too_low,
    generalisation.uneven_classes,
    generalisation.random_labels,
    optimisation.under_training,
    generalisation.overfitting,
    optimisation.mostly_dead,
    optimisation.learnt_nothing,
    generalisation.underfitting,
    generalisation.plateau,
)
# What they say is true whatever the cause.
REMARKS: tuple[Reading, ...] = (
    stopping.stopped_early,
    stopping.rewound,
    lambda facts: judgement.tested_on_selection(facts.record),
    lambda facts: judgement.flattered(facts.record),
    lambda facts: judgement.weak_class(facts.record),
    lambda facts: (
        None if facts.learnt_nothing else judgement.calibration(facts.record, facts.recipe)
    ),
)


def findings(record: Record, history: Sequence[Mapping[str, Any]], recipe: Recipe) -> list[Finding]:
    """Read a run's curves and metrics.

    Args:
        record: the facts of the run.
        history: the rows of ``metrics.jsonl``, one per epoch: ``epoch`` (from 1), ``loss``,
            ``accuracy``, ``val_loss``, ``val_accuracy``, ``learning_rate``; any may be missing.
        recipe: of the run; advice starts from its settings.

    Returns:
        The cause, if one applies, then the remarks.
    """
    facts = read_facts(record, history, recipe)
    cause = next((found for reading in CAUSES if (found := reading(facts)) is not None), None)
    remarks = [reading(facts) for reading in REMARKS]
    remarks += [reading(record) for reading in OF_IMAGES]
    return [finding for finding in (cause, *remarks) if finding is not None]
