import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from mlplab import figures
from mlplab.errors import StorageError
from mlplab.figures.images import mistakes

DIGITS = load_digits()
IMAGES = (DIGITS.images * 255 / 16).astype(np.uint8)[..., None]
LABELS = DIGITS.target
NAMES = [str(digit) for digit in range(10)]
HISTORY = {
    "loss": [2.0, 1.5, 1.2],
    "val_loss": [1.9, 1.6, 1.7],
    "accuracy": [0.3, 0.45, 0.55],
    "val_accuracy": [0.35, 0.45, 0.44],
    "learning_rate": [1e-3, 1e-3, 1e-3],
}


@pytest.fixture(scope="module")
def probabilities() -> Any:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(LABELS), 10)) + 2 * np.eye(10)[LABELS]
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_figure_is_written_as_a_picture(tmp_path: Path, probabilities: Any) -> None:
    matrix = np.diag(np.arange(10)) + 1
    drawn = {
        "curves": figures.curves(HISTORY, best_epoch=2),
        "calibration": figures.calibration(probabilities, LABELS),
        "confusion_matrix": figures.confusion_matrix(matrix, NAMES),
        "per_class_accuracy": figures.per_class_accuracy([0.5, None] * 5, [8, 0] * 5, NAMES),
        "sample_grid": figures.sample_grid(IMAGES, LABELS, NAMES, rows=2, columns=3),
        "augmented_grid": figures.augmented_grid(
            IMAGES[:2], np.stack([IMAGES[:2]] * 3), LABELS[:2], NAMES
        ),
        "confident_mistakes": figures.confident_mistakes(IMAGES, LABELS, probabilities, NAMES, 4),
        "weights": figures.weights(np.eye(64, 5), (8, 8, 1)),
    }
    for name, figure in drawn.items():
        figures.save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 1, f"{name} is blank"
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(drawn)
    assert pyplot.get_fignums() == []


def test_the_learning_rate_is_drawn_only_where_it_varies() -> None:
    assert len(figures.curves(HISTORY, 2).axes) == 2
    varied = figures.curves({**HISTORY, "learning_rate": [1e-3, 5e-4, None]}, 2)
    assert varied.axes[2].get_title(loc="left") == "Learning rate"


def test_the_best_epoch_is_marked_on_the_validation_curve() -> None:
    loss = figures.curves(HISTORY, best_epoch=2).axes[0]
    (marker,) = [line for line in loss.get_lines() if line.get_label() == "best epoch (2)"]
    assert np.asarray(marker.get_xydata()).tolist() == [[2, 1.6]]


def test_a_loss_that_explodes_is_still_readable() -> None:
    exploded: dict[str, Any] = {
        **HISTORY,
        "loss": [2.0, 1e6, float("inf")],
        "val_loss": [1.9, None, float("nan")],
    }
    figure = figures.curves(exploded, best_epoch=None)
    assert figure.axes[0].get_yscale() == "log"
    assert figures.curves(HISTORY, 2).axes[0].get_yscale() == "linear"


def test_a_history_without_validation_has_training_alone() -> None:
    figure = figures.curves({"loss": [2.0], "accuracy": [0.1]}, best_epoch=1)
    assert [line.get_label() for line in figure.axes[0].get_lines()][:1] == ["training"]


def test_cells_say_the_percentage_of_the_true_class_up_to_20_classes() -> None:
    assert texts(figures.confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"])) == ["75", "25"]
    many = figures.confusion_matrix(np.eye(100, dtype=int), [str(i) for i in range(100)])
    assert texts(many) == []


def test_classes_are_sorted_and_those_without_examples_left_out() -> None:
    figure = figures.per_class_accuracy([0.9, None, 0.2], [10, 0, 10], ["a", "b", "c"])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["c", "a"]


def test_mistakes_are_the_wrong_ones_the_most_confident_first(probabilities: Any) -> None:
    order = mistakes(probabilities, LABELS)
    assert (probabilities[order].argmax(axis=1) != LABELS[order]).all()
    assert (np.diff(probabilities[order].max(axis=1)) <= 0).all()
    assert len(order) == (probabilities.argmax(axis=1) != LABELS).sum()
    figure = figures.confident_mistakes(IMAGES, LABELS, probabilities, NAMES, count=4)
    first = order[0]
    assert f"is {LABELS[first]}" in texts(figure)
    assert any(
        text.startswith(f"predicted {probabilities[first].argmax()} ") for text in texts(figure)
    )


def test_a_faultless_classifier_gets_a_sentence_instead_of_mistakes() -> None:
    figure = figures.confident_mistakes(IMAGES, LABELS, np.eye(10)[LABELS], NAMES)
    assert "No mistakes" in figure.texts[0].get_text()


def test_zero_weights_are_mid_grey_and_the_largest_is_full_colour() -> None:
    kernel = np.zeros((12, 1))
    kernel[0] = -2.0
    picture = figures.weights(kernel, (2, 2, 3)).axes[0].get_images()[0].get_array()
    assert picture is not None
    assert picture[0, 0].tolist() == [0, 128, 128]
    with pytest.raises(ValueError, match="expected"):
        figures.weights(kernel, (3, 3, 3))


def test_names_with_mathematics_or_markup_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = [r"$\foo$", "<b>" + "x" * 60]
    figures.save(figures.confusion_matrix(np.eye(2, dtype=int), names), tmp_path / "a.png")
    figures.save(figures.per_class_accuracy([1.0, 0.5], [2, 2], names), tmp_path / "b.png")
    figures.save(figures.sample_grid(IMAGES, LABELS[:2], names, 1, 2), tmp_path / "c.png")


def test_figures_can_be_drawn_in_threads(tmp_path: Path) -> None:
    def draw(number: int) -> None:
        figures.save(figures.curves(HISTORY, 2), tmp_path / f"{number}.png")

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pictures = {path.read_bytes() for path in tmp_path.glob("*.png")}
    assert (len(list(tmp_path.iterdir())), len(pictures)) == (3, 1)


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        figures.save(figures.curves(HISTORY, 2), tmp_path / "missing" / "a.png")
