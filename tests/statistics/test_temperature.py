"""The temperature that makes probabilities as certain as they are right."""

import numpy as np
import pytest
from scipy.special import softmax

from mlplab.statistics.metrics import classification_metrics
from mlplab.statistics.temperature import LARGEST, temperature


def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels that are drawn from their softmax."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (n, 5))
    labels = np.array([random.choice(5, p=row) for row in softmax(logits, axis=1)])
    return logits, labels


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_factor_that_logits_were_multiplied_by_is_found(factor: float) -> None:
    logits, labels = drawn(20_000)
    probabilities = softmax(factor * logits, axis=1).astype(np.float32)
    found = temperature(probabilities, labels)
    assert found == pytest.approx(factor, rel=0.05)
    before = classification_metrics(probabilities, labels, 5)
    after = classification_metrics(softmax(factor / found * logits, axis=1), labels, 5)
    assert after["accuracy"] == before["accuracy"]
    assert after["loss"] <= before["loss"] + 1e-6
    assert after["calibration_error"] < 0.02


def test_where_all_is_right_or_all_is_wrong_it_stays_within_bounds() -> None:
    right = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert temperature(right, [0, 1]) == pytest.approx(1 / LARGEST, rel=0.01)
    assert temperature(right, [1, 0]) == pytest.approx(LARGEST, rel=0.01)


def test_probabilities_of_zero_are_no_error() -> None:
    assert np.isfinite(temperature(np.array([[1.0, 0.0], [1.0, 0.0]], np.float32), [0, 1]))
