"""Evaluation of a trained network: predictions, metrics and figures in its run folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlplab import figures
from mlplab.data import Split, Splits
from mlplab.errors import optional
from mlplab.evaluation import evaluate, fields, sensitivity
from mlplab.models import conversion
from mlplab.models.calibrated import divide_logits
from mlplab.models.filters import first_filters
from mlplab.recipes.recipe import Evaluation
from mlplab.runs import layout, store
from mlplab.statistics.metrics import classification_metrics, confusion
from mlplab.statistics.temperature import temperature

Predictions = dict[str, NDArray[np.float32]]

SAMPLES = 25  # images in the sample picture
HELD_OUT = ("validation", "test")


def fast(model: keras.Model) -> keras.Model:
    """Return a saved network in its fastest form: if it has convolutions, in our own layers.

    They compute the same. On a CPU, XLA's convolutions take several times as long, and evaluation
    would take longer than some trainings.
    """
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D
    if not any(isinstance(layer, kinds) for layer in model.layers):
        return model
    return conversion.to_fast(model, "float32")


def calibrate(model: keras.Model, held_out: Split) -> float:
    """Divide a network's logits by the number that suits some images best, and return it.

    Args:
        model: in the form in which it is saved.
        held_out: images that it was not trained on, and that are not the test split.
    """
    predicted = evaluate.probabilities(fast(model), held_out.images)
    best = temperature(predicted, held_out.labels)
    divide_logits(model, best)
    return best


def judge(
    folder: Path,
    model: keras.Model,
    splits: Splits,
    which: Sequence[str],
    settings: Evaluation,
    over_views: Sequence[str] = HELD_OUT,
    files: Mapping[str, Sequence[str]] | None = None,
    second: Mapping[str, Split] = MappingProxyType({}),
) -> tuple[dict[str, dict[str, Any]], Predictions]:
    """Evaluate a network on some splits and write its predictions.

    Args:
        folder: the run's.
        model: raw uint8 images to probabilities.
        splits: the data.
        which: names of the splits to evaluate on.
        settings: k of the top-k accuracy, and the views of test-time augmentation.
        over_views: splits that are also evaluated over these views, if there are any.
        files: names of the images' files, as in the data set.
        second: test sets besides the data set's own, by name.

    Returns:
        Metrics by split, with those over the views as ``tta``; and probabilities of the images as
        they are, float32 [n, classes], by split.
    """
    metrics: dict[str, dict[str, Any]] = {}
    predictions: Predictions = {}
    classify = evaluate.over_views(model, settings) if settings.tta else None
    known: dict[int, tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {}
    for name in which:
        split: Split = second[name] if name in second else getattr(splits, name)
        if id(split) not in known:  # validation may be the test split itself
            averaged = classify(split.images) if classify and name in over_views else None
            known[id(split)] = evaluate.probabilities(model, split.images), averaged
        predicted, averaged = known[id(split)]
        predictions[name] = predicted
        metrics[name] = classification_metrics(predicted, split.labels, settings.top_k)
        if averaged is not None:
            metrics[name]["tta"] = evaluate.metrics_over_views(averaged, split.labels, settings)
        published = "test" if split is splits.test else "train"
        known_files = (files or {}).get(name if name in second else published, ())
        names = [known_files[i] for i in split.index] if known_files else None
        store.write_predictions(folder, name, predicted, split.labels, split.index, averaged, names)
    return metrics, predictions


def learnt(model: keras.Model, splits: Splits, closed: bool) -> dict[str, Any]:
    """Return what a network has learnt, in the form of its record.

    Args:
        model: raw uint8 images to probabilities.
        splits: the data.
        closed: whether validation is the test split, which is not used for this.
    """
    name = "train" if closed else "validation"
    split = getattr(splits, name)
    chosen = sample(len(split), sensitivity.IMAGES)
    found = sensitivity.sensitivity(model, split.images[chosen], split.labels[chosen])
    result: dict[str, Any] = {"sensitivity": {"split": name, **found}}
    seen = fields.of_model(model)
    if seen is not None:
        units, empty = len(seen.spread), int(np.isnan(np.asarray(seen.spread)).sum())
        result["fields"] = {"units": units, "empty": empty, **fields.summary(seen)}
    return result


def draw(
    folder: Path,
    model: keras.Model,
    rows: Sequence[dict[str, Any]],
    best_epoch: int,
    splits: Splits,
    predictions: Predictions,
    class_names: Sequence[str],
    known: dict[str, Any],
    note: Callable[[str], None],
) -> None:
    """Write the run's figures, for the last split that was evaluated: test if it was.

    A figure that fails is a note, and the others are drawn.
    """
    target = folder / layout.FIGURES
    target.mkdir(exist_ok=True)

    def sample_grid() -> Figure:
        shown = splits.train.take(sample(len(splits.train), SAMPLES))
        return figures.sample_grid(shown.images, shown.labels, class_names)

    def curves() -> Figure:
        history = {key: [row.get(key) for row in rows] for key in rows[0]}
        return figures.curves(history, best_epoch or None)

    def receptive_fields() -> Figure:
        assert filters is not None
        seen = fields.fields(*filters)
        history = {key: [row.get(key) for row in rows] for key in ("local_share", "field_spread")}
        return figures.receptive_fields(np.asarray(seen.energy), np.asarray(seen.spread), history)

    pictures: dict[str, Callable[[], Figure]] = {"sample_grid": sample_grid}
    if rows:
        pictures["curves"] = curves
    filters = first_filters(model)
    if filters is not None:
        kernel, shape = np.asarray(filters[0]), filters[1]
        pictures["weights"] = lambda: figures.weights(kernel, shape)
        pictures["receptive_fields"] = receptive_fields
    if "sensitivity" in known:
        pictures["sensitivity"] = lambda: figures.sensitivity(known["sensitivity"])
    if predictions:
        pictures |= _answers(splits, predictions, class_names)
    for name, make in pictures.items():
        with optional(f"the figure {name}", note):
            figures.save(make(), target / f"{name}.png")


def _answers(
    splits: Splits, predictions: Predictions, class_names: Sequence[str]
) -> dict[str, Callable[[], Figure]]:
    """Return the figures of the predictions on one split, by the names of their files."""
    name = next(s for s in ("test", "validation", "train") if s in predictions)
    split, predicted = getattr(splits, name), predictions[name]
    matrix = confusion(predicted, split.labels, len(class_names))
    recall = [row[i] / row.sum() if row.sum() else None for i, row in enumerate(matrix)]
    support = matrix.sum(axis=1).tolist()
    return {
        f"confusion_matrix-{name}": lambda: figures.confusion_matrix(matrix, class_names),
        f"per_class_accuracy-{name}": lambda: figures.per_class_accuracy(
            recall, support, class_names
        ),
        f"calibration-{name}": lambda: figures.calibration(predicted, split.labels),
        f"confident_mistakes-{name}": lambda: figures.confident_mistakes(
            split.images, split.labels, predicted, class_names
        ),
    }


def mistakes(
    splits: Splits, predictions: Predictions, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return ``confusion``, int [classes, classes], and the figure ``mistakes``, on validation."""
    predicted, split = predictions.get("validation"), splits.validation
    if predicted is None:
        return {"confusion": None, "mistakes": None}
    return {
        "confusion": confusion(predicted, split.labels, len(class_names)),
        "mistakes": figures.confident_mistakes(split.images, split.labels, predicted, class_names),
    }


def sample(n: int, count: int) -> NDArray[np.int64]:
    """Return up to ``count`` of ``n`` positions, drawn at random, always the same ones, int64."""
    return np.random.default_rng(0).permutation(n)[:count]
