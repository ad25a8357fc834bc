"""Networks that learn from others' answers."""

import signal
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import mlplab
from mlplab.errors import RecipeError, RunError
from mlplab.experiment import execute, resume
from mlplab.experiment.networks import load_network
from mlplab.experiment.options import Options
from mlplab.runs.run import Run
from mlplab.training.distillation import Distillation, accuracy
from mlplab.training.plan import NoProgress

LABELS = np.eye(3, dtype=np.float32)[[0, 2]]
SAID = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
TOLD = np.log(np.array([[0.5, 0.4, 0.1], [0.2, 0.2, 0.6]], np.float32))


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    raised = np.exp(logits / temperature)
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_hinton_vinyals_and_dean(temperature: float) -> None:
    loss = Distillation(temperature, weight=0.75)
    found = loss.call(jnp.concatenate([LABELS, TOLD], axis=1), jnp.asarray(SAID))
    teacher, student = softened(TOLD, temperature), softened(np.log(SAID), temperature)
    apart = (teacher * np.log(teacher / student)).sum(axis=1)
    from_labels = -np.log((LABELS * SAID).sum(axis=1))
    expected = 0.25 * from_labels + 0.75 * temperature**2 * apart
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_without_answers_it_is_the_crossentropy() -> None:
    found = Distillation(2.0, weight=1.0)(LABELS, SAID)
    expected = keras.losses.CategoricalCrossentropy()(LABELS, SAID)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def train(folder: Path, name: str, seed: int = 0, **tables: Any) -> Run:
    quick: dict[str, Any] = {
        "model": {"hidden": [32]},
        "training": {"epochs": 6},
        "callbacks": {"tensorboard": "none"},
    }
    chosen = mlplab.recipe("quickstart", seed=seed, **(quick | tables))
    return execute.run(chosen, Options(runs_dir=folder, name=name, keep="model"))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    train(folder, "teacher", model={"hidden": [64]})
    return folder


STUBBORN = """
import keras


def network(input_shape, classes, scaling):
    images = keras.Input(input_shape, dtype="uint8")
    x = keras.layers.Flatten()(scaling(images))
    bias = keras.initializers.Constant([0] * 3 + [9] + [0] * (classes - 4))
    outputs = keras.layers.Dense(classes, "softmax", kernel_initializer="zeros",
                                 bias_initializer=bias)(x)
    return keras.Model(images, outputs)
"""


@pytest.mark.parametrize("views", [0, 2])
def test_what_a_teacher_says_goes_before_the_labels(
    views: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that sees the same class in every picture nothing else is learnt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"stubborn{views}.py").write_text(STUBBORN)
    chosen = mlplab.recipe(
        "quickstart",
        model={"name": f"stubborn{views}:network"},
        optimizer={"name": "sgd", "learning_rate": 1e-9},
        training={"epochs": 1},
        callbacks={"tensorboard": "none"},
    )
    options = Options(runs_dir=tmp_path, name="stubborn", keep="model", trust=True)
    execute.run(chosen, options)
    student = train(tmp_path, "student", teacher={"runs": ["stubborn"], "views": views})
    assert (student.predictions("validation")["probabilities"].argmax(axis=1) == 3).all()
    assert student.history[-1]["accuracy"] < 0.2  # of the labels


def agreement(one: Run, other: Run) -> float:
    first, second = (
        run.predictions("validation")["probabilities"].argmax(axis=1) for run in (one, other)
    )
    return float((first == second).mean())


@pytest.mark.parametrize("views", [0, 2])
def test_a_network_learns_what_its_teacher_says(taught: Path, views: int) -> None:
    teacher = mlplab.load_run("teacher", runs_dir=taught)
    student = train(
        taught,
        f"student-{views}",
        teacher={"runs": ["teacher"], "views": views, "temperature": 2.0},
        training={"epochs": 12},
    )
    assert agreement(student, teacher) > 0.8
    (source,) = student.record.sources
    assert (source.role, source.run, source.validation_seen) == ("teacher", "teacher", 0)
    assert source.digest == teacher.record.files["model.keras"]


def test_no_label_is_looked_at_with_the_teachers_weight_at_one() -> None:
    loss = Distillation(1.0, weight=1.0)
    wrong = np.roll(LABELS, 1, axis=1)
    rows = [jnp.concatenate([labels, TOLD], axis=1) for labels in (LABELS, wrong)]
    right, other = (loss.call(row, jnp.asarray(SAID)) for row in rows)
    np.testing.assert_array_equal(right, other)


def test_a_teacher_that_has_seen_validation_images_is_noted(taught: Path) -> None:
    student = train(taught, "other-seed", seed=1, teacher={"runs": ["teacher"]})
    seen = student.record.sources[0].validation_seen
    assert seen is not None
    assert seen > 100


def test_answers_known_beforehand_are_those_that_would_be_given(taught: Path) -> None:
    """With as many views as epochs, nothing but the time of answering differs."""
    teacher = {"runs": ["teacher"], "weight": 0.5}
    runs = [
        train(taught, f"views-{views}", teacher=teacher | {"views": views}, augment={"shift": 1})
        for views in (0, 6)
    ]
    during, before = ([row["loss"] for row in run.history] for run in runs)
    np.testing.assert_allclose(during, before, rtol=1e-3)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"teacher": {"runs": ["nobody"]}}, "teacher.runs: there is no run nobody"),
        (
            {"teacher": {"runs": ["teacher"], "views": 2}, "augment": {"mixup": 0.2}},
            "set teacher.views to 0",
        ),
        (
            {"teacher": {"runs": ["teacher"]}, "loss": {"name": "mean_squared_error"}},
            "not mean_squared_error",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(
    taught: Path, tables: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(taught, "refused", **tables)
    assert not (taught / "refused").exists()


def test_populations_have_no_teacher(taught: Path) -> None:
    chosen = mlplab.recipe("quickstart", teacher={"runs": ["teacher"]})
    with pytest.raises(RecipeError, match="without --population"):
        mlplab.train_population([chosen], runs_dir=taught)


def test_a_teacher_that_was_replaced_is_not_believed(taught: Path) -> None:
    train(taught, "forged")
    other = taught / "teacher" / "model.keras"
    (taught / "forged" / "model.keras").write_bytes(other.read_bytes())
    with pytest.raises(RunError, match="not the file that was recorded"):
        train(taught, "misled", teacher={"runs": ["forged"]})


def test_a_teacher_is_found_by_the_path_of_its_folder(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(taught.parent)
    found = train(tmp_path, "far", teacher={"runs": [f"{taught.name}/teacher"]})
    assert found.record.sources[0].digest


def test_an_interrupted_run_with_a_teacher_ends_as_the_whole_one(taught: Path) -> None:
    """With resolutions that grow as well: both are decided by the epoch alone."""
    tables: dict[str, Any] = {
        "model": {"hidden": [32]},
        "teacher": {"runs": ["teacher"], "views": 2},
        "augment": {"shift": 1},
        "training": {"epochs": 4, "resizing": [[3, 2]]},
        "callbacks": {"tensorboard": "none"},
    }
    whole = train(taught, "whole", **tables)

    class Interrupts(NoProgress):
        def on_row(self, row: dict[str, float]) -> None:
            if row["epoch"] == 2:
                signal.raise_signal(signal.SIGINT)

    options = Options(runs_dir=taught, name="cut", keep="model", checkpoint_seconds=0)
    cut = execute.run(mlplab.recipe("quickstart", **tables), options, Interrupts())
    assert cut.record.status == "interrupted"
    resume.resume(cut, options)
    for mine, its in zip(
        load_network(cut).get_weights(), load_network(whole).get_weights(), strict=True
    ):
        assert mine.tobytes() == its.tobytes()


def test_a_compiled_student_can_be_opened_again(tmp_path: Path) -> None:
    images = keras.Input((2,))
    model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(images))
    model.compile(loss=Distillation(2.0, 0.5, 0.1), metrics=[accuracy()])
    model.save(tmp_path / "m.keras")
    loss = keras.saving.load_model(tmp_path / "m.keras").loss
    assert (loss.temperature, loss.weight, loss.label_smoothing) == (2.0, 0.5, 0.1)
