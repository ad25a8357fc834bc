"""A loss that is no longer finite: the last good weights, or the epoch anew with smaller steps."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tests.helpers import train

import mlplab
from mlplab.errors import RecipeError
from mlplab.experiment.networks import load_network
from mlplab.runs.run import Run

BASE: dict[str, Any] = {
    "model": {"hidden": [16], "dropout": 0.0},
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "training": {"epochs": 4},
    "callbacks": {"early_stopping": None, "tensorboard": None},
}


class Poison(keras.callbacks.Callback):
    """Makes the learning rate absurd before some epochs, counted from 1, while it is large."""

    def __init__(self, epochs: list[int], above: float = 0.0) -> None:
        super().__init__()
        self.epochs = epochs
        self.above = above

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 in self.epochs and float(self.model.optimizer.learning_rate) > self.above:
            rate = float(self.model.optimizer.learning_rate)
            self.model.optimizer.learning_rate = rate * 1e30


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "poisons.py").write_text(Path(__file__).read_text())
    monkeypatch.syspath_prepend(tmp_path)


def run(folder: Path, poisoned: list[int], above: float = 0.0, **training: Any) -> Run:
    poison = {"name": "poisons:Poison", "epochs": poisoned, "above": above}
    callbacks = {**BASE["callbacks"], "poison": poison}
    tables = {**BASE, "callbacks": callbacks, "training": {**BASE["training"], **training}}
    return train(mlplab.recipe("quickstart", **tables), folder, trust=True)


def test_a_diverged_run_keeps_the_weights_of_its_last_good_epoch(tmp_path: Path) -> None:
    diverged = run(tmp_path, [3])
    good = run(tmp_path, [], epochs=2)
    assert diverged.record.status == "diverged"
    assert (diverged.record.epochs, diverged.record.best_epoch) == (3, 2)
    assert "weights after epoch 2" in str(diverged.record.reason)
    assert diverged.record.findings[0].kind == "divergence"
    for mine, theirs in zip(
        load_network(diverged).get_weights(), load_network(good).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert diverged.metrics["validation"] == good.metrics["validation"]
    assert "test" not in diverged.metrics


def test_the_average_is_kept_as_well(tmp_path: Path) -> None:
    tables = {**BASE, "average": {"momentum": 0.9}}
    callbacks = {**BASE["callbacks"], "poison": {"name": "poisons:Poison", "epochs": [3]}}
    one = mlplab.recipe("quickstart", **{**tables, "callbacks": callbacks})
    two = mlplab.recipe("quickstart", **{**tables, "training": {"epochs": 2}})
    diverged, good = (train(r, tmp_path, trust=True) for r in (one, two))
    for mine, theirs in zip(
        load_network(diverged).get_weights(), load_network(good).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


STEEP: dict[str, Any] = {
    "model": {"hidden": [16], "dropout": 0.0},
    "callbacks": {"early_stopping": None, "tensorboard": None},
}


def rewound(folder: Path, **tables: Any) -> Run:
    training = {"epochs": 2, "on_divergence": "rewind"}
    recipe = mlplab.recipe("quickstart", **STEEP, training=training, **tables)
    return train(recipe, folder)


def test_a_rewound_epoch_starts_anew_with_half_the_rate(tmp_path: Path) -> None:
    done = rewound(tmp_path, optimizer={"name": "sgd", "learning_rate": 6e37})
    rates = [rewind["learning_rate"] for rewind in done.record.rewinds]
    np.testing.assert_allclose(rates, [3e37, 1.5e37, 0.75e37], rtol=1e-6)
    assert done.record.status == "diverged"
    assert len(done.history) == 1
    assert "rewound" in [finding.kind for finding in done.record.findings]


def test_a_rewound_run_that_recovers_finishes(tmp_path: Path) -> None:
    done = run(tmp_path, [2], above=0.006, on_divergence="rewind")
    assert done.record.status == "finished"
    assert [rewind["epoch"] for rewind in done.record.rewinds] == [2]
    assert done.record.rewinds[0]["learning_rate"] == pytest.approx(0.005)
    assert [row["epoch"] for row in done.history] == [1, 2, 3, 4]
    assert [row["learning_rate"] for row in done.history] == pytest.approx([0.01] + 3 * [0.005])


def test_a_schedule_is_halved_too(tmp_path: Path) -> None:
    done = rewound(
        tmp_path,
        optimizer={"name": "sgd", "learning_rate": 6e37},
        schedule={"name": "CosineDecay"},
    )
    rates = [rewind["learning_rate"] for rewind in done.record.rewinds]
    np.testing.assert_allclose(rates, [3e37, 1.5e37, 0.75e37], rtol=1e-6)


@pytest.mark.parametrize(
    "tables",
    [
        {"callbacks": {"rates": {"name": "LearningRateScheduler", "table": [[1, 0.1]]}}},
        {"schedule": {"name": "PiecewiseConstantDecay", "boundaries": [5], "values": [0.1, 0.01]}},
    ],
)
def test_rewinding_is_refused_where_the_rate_is_not_its_own(tables: Any, tmp_path: Path) -> None:
    training = {"on_divergence": "rewind"}
    recipe = mlplab.recipe("quickstart", training=training, **tables)
    with pytest.raises(RecipeError, match="on_divergence"):
        mlplab.train(recipe, runs_dir=tmp_path)
