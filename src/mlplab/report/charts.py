"""A study's charts as numbers, drawn both on its page and by Matplotlib.

A chart is a table with ``id``, ``title``, ``caption``, ``x`` and ``y`` (labels), ``log`` (of x),
``percent`` (of y), ``kind`` (``line``, ``steps`` or ``points``) and ``series``: each with ``name``,
``place`` (for its colour), ``x``, ``y``, and for a band ``low`` and ``high``.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlplab import files
from mlplab.report.formatting import is_number
from mlplab.report.history import epoch_of
from mlplab.report.study import Results, Variant
from mlplab.runs import layout

Chart = dict[str, Any]


def charts(results: Results) -> list[Chart]:
    """Return the charts for which there are numbers."""
    study = results.facts["study"]
    accuracy = study["metric"] == "accuracy"
    metric = "validation accuracy" if accuracy else "validation loss"
    names = [variant.name for variant in results.variants]
    made = [
        _chart(
            "curves",
            "Learning curves",
            "Final runs on fresh seeds: the mean, and a band from the lowest to the highest seed.",
            ("epoch", "validation accuracy"),
            [_curve(variant) for variant in results.variants],
        ),
        _chart(
            "sensitivity",
            "Accuracy against learning rate",
            "Each point is a trial. A variant whose points stay high over several decades tolerates"
            " a poor choice. Trials that diverged or were pruned have no point.",
            ("learning rate", metric),
            [_by_rate(variant) for variant in results.variants],
            kind="points",
            log=True,
            percent=accuracy,
        ),
        _chart(
            "best",
            "Best so far",
            "Best result after n trials.",
            ("trials", metric),
            [_best_so_far(variant, accuracy) for variant in results.variants],
            kind="steps",
            percent=accuracy,
        ),
        _chart(
            "pareto",
            "Accuracy and time",
            "Medians of the final runs. Seconds are training time without compiling; runs that were"
            " trained together have an equal share of it. The best have no other point both above"
            " and to the left of them.",
            ("seconds of training", "validation accuracy"),
            _costs(results),
            kind="points",
        ),
    ]
    for one in (series for chart in made for series in chart["series"]):
        one["place"] = names.index(one["name"])  # a variant has one colour in all charts
    return [chart for chart in made if chart["series"]]


def _chart(
    id: str,
    title: str,
    caption: str,
    axes: tuple[str, str],
    series: Sequence[dict[str, Any] | None],
    *,
    kind: str = "line",
    log: bool = False,
    percent: bool = True,
) -> Chart:
    return {
        "id": id,
        "title": title,
        "caption": caption,
        "x": axes[0],
        "y": axes[1],
        "kind": kind,
        "log": log,
        "percent": percent,
        "series": [one for one in series if one is not None and one["x"]],
    }


def _curve(variant: Variant) -> dict[str, Any] | None:
    runs = [_accuracies(folder) for folder in variant.finals]
    epochs = sorted({epoch for run in runs for epoch in run})
    # Once some seeds have stopped, the mean over the others would jump.
    values = [[run[e] for run in runs if e in run] for e in epochs]
    kept = [i for i, found in enumerate(values) if len(found) == len(runs)]
    return {
        "name": variant.name,
        "x": [epochs[i] for i in kept],
        "y": [sum(values[i]) / len(values[i]) for i in kept],
        "low": [min(values[i]) for i in kept],
        "high": [max(values[i]) for i in kept],
    }


def _accuracies(folder: Path) -> dict[int, float]:
    rows = files.read_lines(folder / layout.METRICS)
    return {
        epoch: float(row["val_accuracy"])
        for row in rows
        if (epoch := epoch_of(row)) is not None and is_number(row.get("val_accuracy"))
    }


def _by_rate(variant: Variant) -> dict[str, Any] | None:
    points = sorted(
        (float(trial["point"]["optimizer.learning_rate"]), float(trial["value"]))
        for trial in variant.facts["trials"]
        if trial["value"] is not None and "optimizer.learning_rate" in trial["point"]
    )
    return {"name": variant.name, "x": [x for x, _ in points], "y": [y for _, y in points]}


def _best_so_far(variant: Variant, more: bool) -> dict[str, Any]:
    best, x, y = (-math.inf if more else math.inf), [], []
    for trial in variant.facts["trials"]:
        value = trial["value"]
        if value is not None:
            best = max(best, value) if more else min(best, value)
        if math.isfinite(best):
            x.append(trial["number"] + 1)
            y.append(best)
    return {"name": variant.name, "x": x, "y": y}


def _costs(results: Results) -> list[dict[str, Any]]:
    if results.comparison is None:
        return []
    return [
        {
            "name": entry.name,
            "x": [entry.cost["seconds"]],
            "y": [entry.accuracy["validation"]["mean"]],
        }
        for entry in results.comparison.entries
        if "validation" in entry.accuracy
    ]
