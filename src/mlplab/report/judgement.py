"""Findings that rest on the evaluation and on the layers' statistics at the end of a run."""

from typing import Any

from mlplab.recipes.recipe import Recipe
from mlplab.report.formatting import is_number, percent, points
from mlplab.runs.record import Finding, Record
from mlplab.statistics.metrics import wilson

# Well-trained networks without any calibration reach 4 to 20 points (Guo et al. 2017, table 1);
# below 5, probabilities can be trusted for most uses.
CALIBRATION_ERROR = 0.05
# Classes always differ; one that is 15 points below the overall accuracy is worth looking at.
WEAK_CLASS = 0.15
FEWEST_IMAGES = 5  # of a class, to say something about it


def tested_on_selection(record: Record) -> Finding | None:
    """Say that the test accuracy is optimistic if the epoch was chosen on the test split."""
    if record.selected_on != "test":
        return None
    accuracy, looks = _metrics(record, "test").get("accuracy"), record.test_openings
    figure = f"its accuracy of {percent(accuracy)}" if is_number(accuracy) else "its accuracy"
    often = f" (evaluated {looks} times)" if looks > 1 else ""
    return Finding(
        kind="tested-on-selection",
        heading="Chosen on the test split",
        text=(
            f"The best epoch was chosen on the test split{often}, so {figure} is optimistic: the"
            " epoch was picked to suit these images, and accuracy on new ones will be a little"
            " lower. For an honest figure, choose on part of the training images:"
            " `data.validation=0.1`."
        ),
        overrides=["data.validation=0.1"],
        evidence={"selected_on": "test", "test_openings": looks, "accuracy": accuracy},
    )


def flattered(record: Record) -> Finding | None:
    """Say that validation is optimistic if a source was trained on its images."""
    seen = {
        source.run: source.validation_seen
        for source in record.sources
        if source.validation_seen != 0
        # Of other data nothing is known, and nothing is to be suspected.
        and (source.validation_seen is not None or source.data_id == record.data_id)
    }
    if not seen:
        return None
    return Finding(
        kind="flattered-validation",
        heading="Optimistic validation",
        text=(
            f"{', '.join(seen)}, which this run started from, was or may have been trained on"
            " validation images of this run, so its validation accuracy is optimistic. With the"
            " same seed and the same `[data]`, classes included, the splits are the same."
        ),
        evidence={"images": seen},
    )


def calibration(record: Record, recipe: Recipe) -> Finding | None:
    """Say whether the network is more, or less, confident than it is accurate."""
    split, metrics = held_out(record)
    steady = recipe.loss.label_smoothing or recipe.augment.mixes or _regularised(recipe)
    keys = ("calibration_error", "confidence", "accuracy", "accuracy_low", "accuracy_high")
    evidence = {key: metrics.get(key) for key in keys}
    values = [value for value in evidence.values() if is_number(value)]
    if len(values) < len(keys):
        return None
    error, confidence, accuracy, low, high = values
    # With few examples the error is large by chance, so the mean confidence must also be outside
    # the interval of the accuracy.
    if error < CALIBRATION_ERROR or low <= confidence <= high:
        return None
    over, calibrated = confidence > accuracy, recipe.evaluation.calibrate
    if calibrated:
        why = " It was calibrated on the validation images: one temperature was not enough."
    elif over:
        why = (
            " Fewer epochs, more regularisation or label smoothing (`loss.label_smoothing`) make a"
            " network less confident."
        )
    elif steady:
        why = " That is usual with dropout, label smoothing and mixed images."
    else:
        why = " That is usual early in training."
    fitted = not calibrated and record.selected_on != "test"
    remedy = ("evaluation.calibrate=temperature",) if fitted else ()
    for override in remedy:
        why += (
            f" `{override}` makes it about as confident as it is accurate on the validation images,"
            " and changes no prediction."
        )
    return Finding(
        kind="calibration",
        heading="Calibration",
        text=(
            f"The network is {'over' if over else 'under'}-confident: on the {split} images it"
            f" gives its predictions a probability of {percent(confidence)} on average but is right"
            f" for {percent(accuracy)} (calibration error {points(error)}).{why}"
        ),
        evidence={"split": split, **evidence},
        overrides=list(remedy),
    )


def weak_class(record: Record) -> Finding | None:
    """Name the class that is recognised worst, if it is clearly worse than the average."""
    split, metrics = held_out(record)
    per_class, overall = metrics.get("per_class") or {}, metrics.get("accuracy")
    recall, support = per_class.get("recall") or [], per_class.get("support") or []
    known = [index for index, value in enumerate(recall) if is_number(value) and support[index]]
    if len(known) < 2 or not is_number(overall):
        return None
    worst = min(known, key=lambda index: recall[index])
    share, examples = recall[worst], support[worst]
    low, high = wilson(round(share * examples), examples)
    if examples < FEWEST_IMAGES or share > overall - WEAK_CLASS or high >= overall:
        return None
    text = (
        f"{_class(record, worst)} is the hardest class: {percent(share)} of its {examples}"
        f" {split} images are recognised ({percent(low)} to {percent(high)}), against"
        f" {percent(overall)} of all."
    )
    other = (per_class.get("confused_with") or [None] * len(recall))[worst]
    if other is not None:
        often = percent(per_class["confused_share"][worst])
        text += f" It is most often mistaken for {_class(record, other)} ({often})."
    return Finding(
        kind="weak-class",
        heading="Weakest class",
        text=text,
        evidence={
            "split": split,
            "class": _class(record, worst),
            "recall": share,
            "recall_low": low,
            "recall_high": high,
            "support": examples,
            "accuracy": overall,
            "confused_with": None if other is None else _class(record, other),
        },
    )


def held_out(record: Record) -> tuple[str, dict[str, Any]]:
    """Return the split that findings rest on, and its metrics: validation, or else test.

    If validation was the test split, it is called that.
    """
    for split in ("validation", "test"):
        if metrics := _metrics(record, split):
            return "test" if record.selected_on == "test" else split, metrics
    return "test" if record.selected_on == "test" else "validation", {}


def _regularised(recipe: Recipe) -> bool:
    dropout = getattr(recipe.model, "dropout", 0)
    return is_number(dropout) and dropout > 0


def _metrics(record: Record, split: str) -> dict[str, Any]:
    return record.metrics.get(split) or {}


def _class(record: Record, index: int) -> str:
    names = record.class_names
    return str(names[index]) if index < len(names) else f"class {index}"
