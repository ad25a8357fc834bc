"""How good a classifier is, and how sure one can be of that: numbers in, numbers out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

BINS = 15  # as in Guo et al. 2017, so that calibration errors can be compared with published ones


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927).

    Unlike the textbook interval it stays inside [0, 1] and keeps its coverage near both ends.

    Args:
        successes: how many of the trials succeeded, in [0, n].
        n: number of trials; with none, nothing is known and the interval is (0, 1).
        confidence: probability that such an interval covers the true proportion, in (0, 1).

    Raises:
        ValueError: if the counts or the confidence are out of range.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes out of {n}: expected 0 <= successes <= n")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: expected a number between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + confidence) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    # Rounding must not push the ends past the proportion itself (at 0 and n successes).
    return min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)


@dataclass(frozen=True, eq=False)
class Judged:
    """A split's predictions, as metrics are computed from them.

    Attributes:
        probabilities: float [n, classes]. NaN counts as the least likely.
        labels: int64 [n].
        confusion: int64 [classes, classes], indexed [true, predicted].
        top_k: how many of the most probable classes count in the top-k accuracy.
    """

    probabilities: NDArray[np.floating]
    labels: NDArray[np.int64]
    confusion: NDArray[np.int64]
    top_k: int


def accuracy(judged: Judged) -> float:
    """Return the share of examples whose most probable class is right."""
    return int(np.trace(judged.confusion)) / len(judged.labels)


def balanced_accuracy(judged: Judged) -> float:
    """Return the mean recall of the classes that have examples."""
    support = judged.confusion.sum(axis=1)
    recalls = [share for share in _shares(np.diag(judged.confusion), support) if share is not None]
    return sum(recalls) / len(recalls)


def top_k_accuracy(judged: Judged) -> float:
    """Return the share of examples whose class is among the k most probable.

    It is not a number, as nothing is measured, where k is the number of classes.
    """
    if judged.top_k >= judged.probabilities.shape[1]:
        return float("nan")
    return float(np.mean(_ranks(judged.probabilities, judged.labels) < judged.top_k))


def log_loss(judged: Judged) -> float:
    """Return the mean negative log-likelihood in nats, probabilities clipped to 1e-7 as in Keras.

    It does not depend on the loss that a recipe minimises, so recipes can be compared.
    """
    own = judged.probabilities[np.arange(len(judged.labels)), judged.labels].astype(np.float64)
    return float(-np.log(np.clip(own, 1e-7, 1.0)).mean())


def confidence(judged: Judged) -> float:
    """Return the mean probability of the predicted class."""
    return float(np.max(judged.probabilities, axis=1).mean(dtype=np.float64))


@dataclass(frozen=True)
class Metric:
    """A figure of a split's predictions.

    Attributes:
        name: its key in records and in TensorBoard.
        label: its name in tables.
        unit: ``share`` is shown in percent.
        compute: the function; a value that is not finite is recorded as None.
        meaning: for the documentation.
        over_views: whether it is also given for probabilities averaged over views of an image.
        headline: whether it is among the few that a run's summary shows.
    """

    name: str
    label: str
    unit: Literal["share", "nats"]
    compute: Callable[[Judged], float]
    meaning: str
    over_views: bool = True
    headline: bool = False


def _calibration_error(judged: Judged) -> float:
    return calibration_error(judged.probabilities, judged.labels)


METRICS = (
    Metric(
        "accuracy",
        "accuracy",
        "share",
        accuracy,
        "share of images whose most probable class is right",
        headline=True,
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "share",
        balanced_accuracy,
        "mean recall of the classes that have images",
    ),
    Metric(
        "top_k_accuracy",
        "top-k accuracy",
        "share",
        top_k_accuracy,
        "share of images whose class is among the k most probable (`evaluation.top_k`)",
    ),
    Metric(
        "loss",
        "loss",
        "nats",
        log_loss,
        "mean negative log-likelihood, whatever the recipe minimises",
        headline=True,
    ),
    Metric(
        "calibration_error",
        "calibration error",
        "share",
        _calibration_error,
        "mean gap between confidence and accuracy over 15 bins (Guo et al. 2017)",
    ),
    Metric(
        "confidence",
        "mean confidence",
        "share",
        confidence,
        "mean probability of the predicted class",
        over_views=False,
    ),
)
"""Every figure of a split, in the order that tables show them."""


def classification_metrics(
    probabilities: NDArray[np.floating], labels: ArrayLike, top_k: int
) -> dict[str, Any]:
    """Return what a split's predictions say about a classifier, ready for JSON.

    Args:
        probabilities: float [n, classes], one row an example. NaN counts as the least likely.
        labels: int [n], the true classes.
        top_k: an example counts as right in the top-k accuracy if its class is among the k most
            probable; cut to the number of classes.

    Returns:
        ``n``, each of :data:`METRICS`, ``accuracy_low`` and ``accuracy_high`` (Wilson, 95 %),
        ``top_k``, and ``per_class`` with lists of ``precision``, ``recall``, ``f1``, ``support``,
        ``confused_with`` (the class it is most often mistaken for) and ``confused_share`` (the
        share of its examples). All are Python numbers; what is undefined, such as the recall of a
        class without examples, is None.

    Raises:
        ValueError: if the shapes disagree, a label is out of range, or there are no examples.
    """
    if top_k < 1:
        raise ValueError(f"top_k {top_k}: expected at least 1")
    truth = _checked(probabilities, labels)
    n, classes = probabilities.shape
    matrix = confusion(probabilities, truth, classes)
    judged = Judged(probabilities, truth, matrix, min(top_k, classes))
    low, high = wilson(int(np.trace(matrix)), n)
    return {
        "n": n,
        **{metric.name: _number(metric.compute(judged)) for metric in METRICS},
        "accuracy_low": low,
        "accuracy_high": high,
        "top_k": judged.top_k,
        "per_class": _per_class(matrix),
    }


def confusion(predictions: NDArray[Any], labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return the confusion matrix, int64 [classes, classes], indexed [true, predicted].

    Args:
        predictions: float [n, classes] probabilities, or int [n] predicted classes.
        labels: int [n], the true classes.
        classes: number of classes; all labels and predictions lie in [0, classes).

    Raises:
        ValueError: if a label or a prediction is out of range, or their numbers differ.
    """
    predicted = predicted_classes(predictions) if predictions.ndim == 2 else predictions
    truth = _labels(labels, len(predicted), classes)
    cells = truth * classes + _labels(predicted, len(predicted), classes)
    counts: NDArray[np.int64] = np.bincount(cells, minlength=classes**2)
    return counts.reshape(classes, classes)


def predicted_classes(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the most probable class of each row, int64 [n]; of equals, the first."""
    best: NDArray[np.int64] = np.argmax(_nan_last(probabilities), axis=1)
    return best


class Reliability(NamedTuple):
    """Confidence against accuracy in equal-width bins; the means of an empty bin are NaN.

    Attributes:
        confidence: float64 [bins], mean probability of the predicted class.
        accuracy: float64 [bins], share of right predictions.
        counts: int64 [bins], numbers of examples.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]


def reliability(
    probabilities: NDArray[np.floating], labels: ArrayLike, bins: int = BINS
) -> Reliability:
    """Return a reliability diagram's numbers (Guo et al. 2017, section 2).

    Args:
        probabilities: float [n, classes].
        labels: int [n], the true classes.
        bins: number of bins; bin m holds the confidences in (m / bins, (m + 1) / bins], the
            first one also 0 and rows that are all NaN.

    Raises:
        ValueError: as in :func:`classification_metrics`.
    """
    truth = _checked(probabilities, labels)
    confidence = np.clip(np.max(_nan_last(probabilities), axis=1).astype(np.float64), 0, 1)
    right = predicted_classes(probabilities) == truth
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins).astype(np.int64)
    with np.errstate(invalid="ignore"):
        return Reliability(
            confidence=np.bincount(place, weights=confidence, minlength=bins) / counts,
            accuracy=np.bincount(place, weights=right, minlength=bins) / counts,
            counts=counts,
        )


def calibration_error(
    probabilities: NDArray[np.floating], labels: ArrayLike, bins: int = BINS
) -> float:
    """Return the expected calibration error, in [0, 1] (Guo et al. 2017, equation 3).

    It is the mean gap between confidence and accuracy over the bins of :func:`reliability`,
    weighted by their examples; NaN if any probability is.
    """
    if np.isnan(probabilities).any():
        return float("nan")
    confidence, accuracy, counts = reliability(probabilities, labels, bins)
    return float(np.nansum(np.abs(accuracy - confidence) * counts) / counts.sum())


def _per_class(matrix: NDArray[np.int64]) -> dict[str, list[Any]]:
    right, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    wrong = matrix - np.diag(right)
    most = wrong.argmax(axis=1)
    mistaken = wrong[np.arange(len(matrix)), most]
    return {
        "precision": _shares(right, predicted),
        "recall": _shares(right, support),
        # Undefined without examples, like the recall; 0 if there are examples but no hit.
        "f1": _shares(2 * right, np.where(support > 0, support + predicted, 0)),
        "support": support.tolist(),
        "confused_with": [
            int(other) if count else None for other, count in zip(most, mistaken, strict=True)
        ],
        "confused_share": _shares(mistaken, support),
    }


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float | None]:
    return [float(a / b) if b else None for a, b in zip(part, whole, strict=True)]


def _ranks(probabilities: NDArray[np.floating], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of the true class by falling probability; equals in order of class."""
    scores = _nan_last(probabilities)
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    earlier = np.arange(scores.shape[1])[None] < truth[:, None]
    ahead = (scores > own) | ((scores == own) & earlier)
    places: NDArray[np.int64] = ahead.sum(axis=1)
    return places


def _nan_last(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    # NumPy's argmax treats NaN as the largest; a network that returns NaN does not mean that class.
    return np.where(np.isnan(probabilities), -np.inf, probabilities)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _checked(probabilities: NDArray[np.floating], labels: ArrayLike) -> NDArray[np.int64]:
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"probabilities of shape {probabilities.shape}: expected [n, classes], not empty"
        )
    return _labels(labels, *probabilities.shape)


def _labels(labels: ArrayLike, n: int, classes: int) -> NDArray[np.int64]:
    truth = np.asarray(labels)
    if truth.shape != (n,) or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"{truth.dtype} labels of shape {truth.shape}: expected integers [{n}]")
    if n and not 0 <= truth.min() <= truth.max() < classes:
        raise ValueError(f"labels from {truth.min()} to {truth.max()}: expected 0 to {classes - 1}")
    return truth.astype(np.int64)
