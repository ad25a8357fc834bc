import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn import metrics as sk

from mlplab.statistics.metrics import (
    calibration_error,
    classification_metrics,
    confusion,
    reliability,
    wilson,
)


@pytest.fixture(scope="module")
def predictions() -> Any:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    logits = rng.normal(size=(400, 6)) + 1.5 * np.eye(6)[labels]  # class 5 has no examples
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_interval_of_scipy(counts: Any) -> None:
    expected = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_wilson_at_54_percent_of_10000_is_about_one_point() -> None:
    low, high = wilson(5440, 10_000)
    assert high - low == pytest.approx(0.0195, abs=1e-4)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("arguments", [(3, 2), (-1, 2), (1, 2, 1.0)])
def test_wilson_refuses_impossible_counts(arguments: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(*arguments)


def test_metrics_agree_with_scikit_learn(predictions: Any) -> None:
    probabilities, labels = predictions
    ours = classification_metrics(probabilities, labels, top_k=2)
    predicted = probabilities.argmax(axis=1)
    assert ours["accuracy"] == sk.accuracy_score(labels, predicted)
    assert ours["accuracy_low"] < ours["accuracy"] < ours["accuracy_high"]
    assert ours["top_k_accuracy"] == pytest.approx(
        sk.top_k_accuracy_score(labels, probabilities, k=2, labels=range(6))
    )
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(5), zero_division=0
    )
    assert ours["balanced_accuracy"] == pytest.approx(recall.mean())
    per_class = {key: values[:5] for key, values in ours["per_class"].items()}
    np.testing.assert_allclose(per_class["precision"], precision)
    np.testing.assert_allclose(per_class["recall"], recall)
    np.testing.assert_allclose(per_class["f1"], f1)
    assert per_class["support"] == support.tolist()
    np.testing.assert_array_equal(
        confusion(probabilities, labels, 6), sk.confusion_matrix(labels, predicted, labels=range(6))
    )


def test_a_class_without_examples_has_no_recall_and_the_result_is_json(predictions: Any) -> None:
    result = classification_metrics(predictions[0], predictions[1], top_k=10)
    assert result["per_class"]["recall"][5] is None
    assert result["per_class"]["confused_with"][5] is None
    assert (result["top_k"], result["top_k_accuracy"]) == (6, None)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_usual_confusion_of_a_class_is_named() -> None:
    predicted = np.array([0, 2, 2, 1, 1, 1])
    result = classification_metrics(np.eye(3)[predicted], np.array([0, 0, 0, 1, 1, 1]), top_k=1)
    assert result["per_class"]["confused_with"] == [2, None, None]
    assert result["per_class"]["confused_share"] == [pytest.approx(2 / 3), 0.0, None]


def test_nan_is_nobodys_first_choice_and_leaves_no_nan_behind() -> None:
    probabilities = np.array([[np.nan, 0.2, 0.8], [np.nan] * 3], np.float32)
    result = classification_metrics(probabilities, np.array([2, 2]), top_k=2)
    assert (result["accuracy"], result["top_k_accuracy"]) == (0.5, 0.5)
    assert result["calibration_error"] is None
    json.dumps(result, allow_nan=False)


@given(arrays(np.float32, (20, 4), elements=st.floats(0, 1, width=32)), st.integers(0, 3))
def test_top_1_is_the_accuracy_even_with_ties(probabilities: Any, label: int) -> None:
    result = classification_metrics(probabilities, np.full(20, label), top_k=1)
    assert result["top_k_accuracy"] == result["accuracy"]


def test_calibration_error_of_known_predictions() -> None:
    # 0.9 sure and right in 1 of 2; 0.6 sure and right in 2 of 2: (0.4 * 2 + 0.4 * 2) / 4.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert calibration_error(probabilities, np.array([0, 1, 0, 0])) == pytest.approx(0.4)


def test_bins_are_closed_above_and_hold_every_example(predictions: Any) -> None:
    confidence, accuracy, counts = reliability(predictions[0], predictions[1], bins=10)
    assert counts.sum() == 400
    filled = counts > 0
    assert np.isnan(accuracy[~filled]).all()
    upper = (np.arange(10) + 1) / 10
    assert ((confidence <= upper) & (confidence > upper - 0.1))[filled].all()
    assert reliability(np.array([[0.5, 0.5]]), np.array([0]), bins=10).counts[4] == 1


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.ones((2, 3)), np.array([0, 3])),
        (np.ones((2, 3)), np.array([0])),
        (np.ones((2, 3)), np.array([0.0, 1.0])),
        (np.ones((0, 3)), np.array([], int)),
    ],
)
def test_what_does_not_fit_together_is_refused(probabilities: Any, labels: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        classification_metrics(probabilities, labels, top_k=1)
