"""Runs over the folds of a data set, taken together: every image predicted by a network new to it.

The runs differ in ``data.fold`` alone: each holds another part of the training images out.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import files
from mlplab.errors import RunError
from mlplab.report.formatting import percent
from mlplab.runs import store
from mlplab.runs.run import Run
from mlplab.statistics.label_errors import candidates
from mlplab.statistics.metrics import classification_metrics
from mlplab.statistics.significance import corrected
from mlplab.text import counted

SUMMARY, TABLE = "folds.json", "labels.csv"
COLUMNS = ("file", "reason", "label", "predicted", "label_probability", "predicted_probability")


@dataclass(frozen=True, eq=False)
class Folds:
    """What the runs over all folds found.

    Attributes:
        names: of the runs, fold by fold.
        accuracies: on the held-out images of each.
        low: lower end of the 95 % interval of their mean, see
            :func:`mlplab.statistics.significance.corrected`; NaN for fewer than three folds.
        high: the upper end.
        metrics: of all predictions together, as a split's metrics.
        predictions: ``probabilities`` float32 [n, classes], ``labels`` [n], ``index`` [n], and
            ``files`` if the images are files of the user's; by ``index``.
        labels: the images whose labels the networks doubt, the most doubtful first, by
            ``COLUMNS``.
    """

    names: list[str]
    accuracies: list[float]
    low: float
    high: float
    metrics: dict[str, Any]
    predictions: dict[str, NDArray[Any]]
    labels: list[dict[str, Any]]

    @property
    def mean(self) -> float:
        """The mean accuracy of the folds."""
        return float(np.mean(self.accuracies))

    def __repr__(self) -> str:
        each = ", ".join(f"{100 * value:.1f}" for value in self.accuracies)
        between = "" if math.isnan(self.low) else f" ({percent(self.low)} to {percent(self.high)})"
        return f"{counted(len(self.names), 'fold')}: {percent(self.mean)}{between}; each {each}"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the predictions as JSON-able tables."""
        interval = {"mean": self.mean, "low": self.low, "high": self.high}
        return {
            "folds": dict(zip(self.names, self.accuracies, strict=True)),
            "accuracy": {key: files.finite(value) for key, value in interval.items()},
            "metrics": self.metrics,
            "labels": self.labels,
        }


def together(runs: Sequence[Run]) -> Folds:
    """Return what the runs over all folds found.

    Args:
        runs: finished, one for each fold.

    Raises:
        RunError: if a run is missing or not like the others, or has no predictions.
    """
    for run in runs:
        if run.record.status != "finished":
            raise RunError(f"{run.name} has not finished: {run.record.status}")
    first, folds = runs[0].record, [run.recipe.data.fold for run in runs]
    there = sorted(fold[0] for fold in folds if fold is not None)
    if None in folds or there != list(range(1, (folds[0] or [0, 0])[1] + 1)):
        raise RunError(f"these are not the runs of all folds: {', '.join(r.name for r in runs)}")
    for run in runs:
        if run.record.data_id != first.data_id or run.record.seed != first.seed:
            raise RunError(f"{run.name} has other images or another seed than {runs[0].name}")
    parts = [run.predictions("validation") for run in runs]
    order = np.argsort(np.concatenate([part["index"] for part in parts]))
    keys = set.intersection(*(set(part) for part in parts)) - {"probabilities_tta"}
    predictions = {key: np.concatenate([part[key] for part in parts])[order] for key in keys}
    probabilities, labels = predictions["probabilities"], predictions["labels"]
    accuracies = [run.metrics["validation"]["accuracy"] for run in runs]
    images = [run.record.images for run in runs]
    ratio = sum(i.validation for i in images if i) / sum(i.count for i in images if i)
    interval = corrected(accuracies, ratio)
    top_k = runs[0].recipe.evaluation.top_k
    return Folds(
        names=[run.name for run in runs],
        accuracies=accuracies,
        low=float(interval.low),
        high=float(interval.high),
        metrics=classification_metrics(probabilities, labels, top_k),
        predictions=predictions,
        labels=_doubted(predictions, first.class_names),
    )


def _doubted(
    predictions: dict[str, NDArray[Any]], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    probabilities, labels = predictions["probabilities"], predictions["labels"]
    rows = []
    for place in candidates(probabilities, labels).tolist():
        label, best = int(labels[place]), int(probabilities[place].argmax())
        known = predictions.get("files")
        name = f"train image {predictions['index'][place]}" if known is None else known[place]
        found = (
            str(name),
            "label",
            class_names[label],
            class_names[best],
            round(float(probabilities[place, label]), 4),
            round(float(probabilities[place, best]), 4),
        )
        rows.append(dict(zip(COLUMNS, found, strict=True)))
    return rows


def doubted(folder: Path) -> list[dict[str, str]]:
    """Return the rows of ``labels.csv`` in a folder of :func:`write`.

    Raises:
        RunError: if it is missing or damaged.
    """
    try:
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(
            f"{folder / TABLE} cannot be read: {error}; `mlplab train RECIPE --folds 5` writes it"
        ) from None
    if any(set(row) != set(COLUMNS) for row in rows):
        raise RunError(f"{folder / TABLE} is not as mlplab wrote it")
    return rows


def place(runs: Sequence[Run], runs_dir: Path) -> Path:
    """Return the folder for what the runs over all folds found, beside them."""
    return runs_dir / f"{runs[0].name.removesuffix('-f1')}-folds"


def write(found: Folds, folder: Path) -> None:
    """Write ``folds.json``, ``predictions-validation.npz`` and ``labels.csv`` into a folder.

    Raises:
        StorageError: if it cannot be written.
    """
    with files.storage(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / SUMMARY, json.dumps(found.to_json(), indent=1) + "\n")
    arrays = found.predictions
    names = arrays.get("files")
    store.write_predictions(
        folder,
        "validation",
        arrays["probabilities"],
        arrays["labels"],
        arrays["index"],
        names=None if names is None else names.tolist(),
    )
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(found.labels)
    files.write_text(folder / TABLE, table.getvalue())
