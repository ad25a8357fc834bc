import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from mlplab.statistics.label_errors import candidates, far_errors


def test_wrong_labels_come_first_in_the_order_of_their_probability() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    probabilities = np.full((300, 3), 0.05)
    probabilities[np.arange(300), truth] = 0.9
    labels = truth.copy()
    wrong = [7, 50, 120]
    labels[wrong] = (truth[wrong] + 1) % 3
    probabilities[50, labels[50]] = 0.01
    assert candidates(probabilities, labels).tolist() == [50, 7, 120]


def test_wrong_labels_of_real_images_are_found() -> None:
    digits, rng = load_digits(), np.random.default_rng(0)
    labels = digits.target.copy()
    wrong = rng.random(len(labels)) < 0.05
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    half = len(labels) // 2
    model = KNeighborsClassifier(15, algorithm="kd_tree").fit(digits.data[:half], labels[:half])
    found = candidates(model.predict_proba(digits.data[half:]), labels[half:])
    assert wrong[half:][found].sum() > 0.7 * wrong[half:].sum()
    assert wrong[half:][found].mean() > 0.7


def test_unsure_predictions_say_nothing_about_a_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.55, 0.45], [0.1, 0.9], [0.2, 0.8]])
    labels = np.array([0, 0, 1, 1, 1])
    assert candidates(probabilities, labels).tolist() == []


def test_classes_without_images_are_possible() -> None:
    probabilities = np.array([[0.1, 0.1, 0.8], [0.1, 0.9, 0.0]])
    assert candidates(probabilities, np.array([0, 1])).tolist() == []
    assert candidates(probabilities[:0], np.array([], int)).tolist() == []


def test_random_labels_rank_anywhere_and_honest_mistakes_near_the_top() -> None:
    probabilities = np.array([[0.6, 0.3, 0.08, 0.02]] * 4)
    assert far_errors(probabilities, np.array([0, 1, 2, 3])).tolist() == [False, True, True]
    assert far_errors(probabilities[:0], np.array([], int)).tolist() == []
