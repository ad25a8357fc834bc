"""An average of the weights is what is judged and saved; training goes on from the weights."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest
from tests.helpers import train

import mlplab
from mlplab import data
from mlplab.experiment.networks import load_network
from mlplab.optim import optimizers
from mlplab.recipes.recipe import Average
from mlplab.recipes.schema import Named
from mlplab.runs.run import Run
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Control, Fit, Plan, TrainingData, TrainingSchedule

MOMENTUM = 0.95  # with some ten steps an epoch the average lies well behind
QUICK = mlplab.recipe("quickstart")
SPLITS = data.split(data.load(QUICK.data), QUICK.data.validation, QUICK.seed)
TRAIN = Arrays(jnp.asarray(SPLITS.train.images), jnp.asarray(SPLITS.train.labels))
VALIDATION = Arrays(jnp.asarray(SPLITS.validation.images), jnp.asarray(SPLITS.validation.labels))


def network(average: Average | None = None) -> keras.Model:
    first, last = (keras.initializers.HeNormal(seed) for seed in (1, 2))
    layers = [
        keras.Input((8, 8, 1), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(16, "relu", kernel_initializer=first),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(10, "softmax", kernel_initializer=last),
    ]
    model = keras.Sequential(layers)
    optimizer = optimizers.build(Named(name="adam"), model, 0.01, average=average)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(model: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int = 3) -> Fit:
    plan = Plan(
        data=TrainingData(train=TRAIN, validation=VALIDATION),
        schedule=TrainingSchedule(epochs=epochs, batch_size=128),
        control=Control(callbacks=callbacks),
    )
    return fit(model, plan)


class Watch(keras.callbacks.Callback):
    """Averages the trained weights by hand, and keeps what an epoch's end is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.average: list[np.ndarray] = []
        self.averages: list[list[np.ndarray]] = []
        self.shown: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = [np.asarray(variable.value) for variable in self.model.trainable_variables]
        if self.average:
            pairs = zip(self.average, now, strict=True)
            now = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in pairs]
        self.average = now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.averages.append(self.average)
        self.shown.append(self.model.get_weights())


def test_an_epoch_is_judged_at_the_average_by_hand() -> None:
    model, watch = network(Average(momentum=MOMENTUM)), Watch()
    rows = trained(model, watch).rows
    other = network()
    for row, average, shown in zip(rows, watch.averages, watch.shown, strict=True):
        other.set_weights(shown)  # batch normalisation's statistics are in them
        for variable, value in zip(other.trainable_variables, average, strict=True):
            np.testing.assert_allclose(variable.value, value, atol=1e-5)
            variable.assign(value)
        judged = other.evaluate(VALIDATION.x, VALIDATION.y, verbose=0, return_dict=True)
        assert row["val_loss"] == pytest.approx(judged["loss"], abs=1e-5)
        assert row["val_accuracy"] == pytest.approx(judged["accuracy"])
    for variable, value in zip(model.trainable_variables, watch.average, strict=True):
        np.testing.assert_allclose(variable.value, value, atol=1e-5)


def test_training_continues_from_the_weights_and_not_from_their_average() -> None:
    plain, averaged = network(), network(Average(momentum=MOMENTUM))
    without, rows = trained(plain).rows, trained(averaged).rows
    for key in ("loss", "accuracy"):
        assert [row[key] for row in rows] == pytest.approx([row[key] for row in without], abs=1e-6)
    assert rows[-1]["val_loss"] != pytest.approx(without[-1]["val_loss"], rel=0.05)


def run(folder: Path, **tables: Any) -> Run:
    tables = {
        "training": {"epochs": 4, "batch_size": 128},
        "model": {"hidden": [16], "dropout": 0.2},
        "optimizer": {"learning_rate": 0.01},
        "average": {"momentum": MOMENTUM},
        "callbacks": {"early_stopping": "none", "tensorboard": "none"},
        **tables,
    }
    return train(mlplab.recipe("quickstart", **tables), folder)


def assert_judged_as_in_epoch(run: Run, epoch: int, tolerance: float = 1e-5) -> None:
    expected = run.history[epoch - 1]["val_loss"]
    assert run.metrics["validation"]["loss"] == pytest.approx(expected, abs=tolerance)
    predicted = load_network(run).predict(SPLITS.validation.images, verbose=0)
    saved: Any = run.predictions("validation")["probabilities"]
    np.testing.assert_allclose(predicted, saved, atol=1e-6)


def test_what_is_saved_and_judged_at_the_end_is_the_average(tmp_path: Path) -> None:
    averaged = run(tmp_path)
    assert averaged.record.status == "finished"
    assert_judged_as_in_epoch(averaged, 4)
    raw = run(tmp_path, average=None)
    for mine, other in zip(averaged.history, raw.history, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], abs=1e-5)
    difference = averaged.metrics["validation"]["loss"] - raw.metrics["validation"]["loss"]
    assert abs(difference) > 0.05


def test_an_average_of_weights_trained_in_bfloat16_is_saved(tmp_path: Path) -> None:
    precise = {"epochs": 4, "batch_size": 128, "precision": "bfloat16"}
    assert_judged_as_in_epoch(run(tmp_path, training=precise), 4, tolerance=0.01)


def test_early_stopping_restores_the_average_of_its_best_epoch(tmp_path: Path) -> None:
    """The highest loss is called the best, so that the best epoch is not the last."""
    stopping = {
        "name": "EarlyStopping",
        "monitor": "val_loss",
        "mode": "max",
        "patience": 2,
        "restore_best_weights": True,
    }
    checkpoint = {"name": "ModelCheckpoint", "filepath": "best.keras", "save_best_only": True}
    callbacks = {"early_stopping": stopping, "keep": checkpoint, "tensorboard": "none"}
    done = run(tmp_path, callbacks=callbacks)
    assert (done.record.best_epoch, done.record.epochs) == (1, 3)
    assert_judged_as_in_epoch(done, 1)
    best = keras.saving.load_model(done.folder / "best.keras")
    judged = best.evaluate(VALIDATION.x, VALIDATION.y, verbose=0, return_dict=True)
    assert judged["loss"] == pytest.approx(done.history[2]["val_loss"], abs=1e-5)


@pytest.mark.parametrize(
    "tables",
    [
        {"average": {"momentum": 0.9}},
        {"optimizer": {"name": "ScheduleFreeAdamW", "learning_rate": 0.01}},
    ],
)
def test_a_callback_that_predicts_changes_nothing(
    tables: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import keras\nimport numpy as np\nclass Look(keras.callbacks.Callback):\n"
    code += "    def on_epoch_end(self, epoch, logs=None):\n"
    code += "        self.model.predict(np.zeros((2, 8, 8, 1), np.uint8), verbose=0)\n"
    (tmp_path / "looking.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    short = {"training": {"epochs": 3}, "model": {"hidden": [16], "dropout": 0.2}, **tables}
    runs = []
    for callbacks in ({}, {"look": {"name": "looking:Look"}}):
        given = {"early_stopping": None, "tensorboard": None, **callbacks}
        recipe = mlplab.recipe("quickstart", **short, callbacks=given)
        runs.append(train(recipe, tmp_path / "runs", trust=True, keep="results"))
    plain, looked = ([row["val_loss"] for row in run.history] for run in runs)
    assert plain == looked
