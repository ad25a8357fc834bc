"""Members of a population as runs: complete folders, equal to those of runs alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import own_emitters, train

import mlplab
from mlplab.errors import RecipeError, RunError
from mlplab.experiment import population
from mlplab.experiment.networks import load_network
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run

EVERYTHING: dict[str, Any] = {
    "data": {"scaling": "standard"},
    "model": {"hidden": [144], "dropout": 0.2},  # wide enough to be mapped
    "loss": {"class_weights": "balanced"},
    "augment": {"shift": 1},
    "average": {"momentum": 0.9},
    "schedule": {"name": "WarmupCosine", "warmup_epochs": 0.5},
    "training": {"epochs": 4},
    "callbacks": {"early_stopping": {"name": "EarlyStopping", "patience": 1}},
}


def of(rate: float, seed: int, **tables: Any) -> Recipe:
    return mlplab.recipe("quickstart", seed=seed, optimizer={"learning_rate": rate}, **tables)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    recipes = [of(rate, seed, **EVERYTHING) for rate, seed in ((1e-3, 0), (3e-3, 0), (3e-3, 5))]
    options = Options(runs_dir=tmp_path_factory.mktemp("runs"), name="all", keep="model", test=True)
    with own_emitters():
        return population.run(recipes, options)


def test_a_mapped_member_is_the_run_alone_to_the_bit(members: list[Run], tmp_path: Path) -> None:
    member = members[2]
    with own_emitters():
        alone = train(member.recipe, tmp_path)
    assert member.metrics == alone.metrics
    assert member.record.best_epoch == alone.record.best_epoch
    untimed = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in run.history]
        for run in (member, alone)
    ]
    assert untimed[0] == untimed[1]
    for mine, other in zip(
        load_network(member).get_weights(), load_network(alone).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    for split in ("validation", "test"):
        for key, values in alone.predictions(split).items():
            np.testing.assert_array_equal(member.predictions(split)[key], values)
    assert len(member.record.files) == len(alone.record.files)


def test_members_are_named_by_what_they_differ_in_and_say_what_they_were(
    members: list[Run],
) -> None:
    assert [run.name for run in members] == ["all-lr0.001-s0", "all-lr0.003-s0", "all-lr0.003-s5"]
    for run in members:
        assert run.record.population is not None
        assert run.record.population.model_dump() == {"members": 3, "mode": "map"}
        assert run.record.status == "finished"
    assert members[1].record.config_id == members[2].record.config_id
    assert members[0].history[0]["learning_rate"] != members[1].history[0]["learning_rate"]


def test_seeds_and_rates_are_crossed_where_members_validate_on_test(tmp_path: Path) -> None:
    tables = {
        "data": {"validation": "test"},
        "model": {"hidden": [32]},
        "training": {"epochs": 1},
    }
    recipes = [of(rate, seed, **tables) for rate in (1e-3, 1e-2) for seed in (0, 1)]
    runs = population.run(recipes, Options(runs_dir=tmp_path, keep="model"))
    assert [run.recipe.seed for run in runs] == [0, 1, 0, 1]
    assert {run.record.population.mode for run in runs if run.record.population} == {"vmap"}
    assert {run.record.test_openings for run in runs} == {1}
    assert len({run.metrics["test"]["loss"] for run in runs}) == 4


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ([], "needs members"),
        ([of(1e-3, 0), of(1e-3, 0)], "two members with seed 0 and learning rate 0.001"),
        ([of(1e-3, 0), of(1e-3, 1, model={"dropout": 0.5})], "differ in model.dropout"),
        ([of(1e-3, 0), of(1e-3, 1, training={"epochs": 3})], "differ in training.epochs"),
        (
            [
                of(rate, 0, schedule={"name": "WarmupCosine", "peak_learning_rate": 0.01})
                for rate in (1e-3, 1e-2)
            ],
            "optimizer.learning_rate has no effect",
        ),
        (
            [
                of(1e-3, seed, callbacks={"c": {"name": "ModelCheckpoint", "save_freq": 10}})
                for seed in (0, 1)
            ],
            r"callbacks.c \(ModelCheckpoint\) has hooks on batches",
        ),
    ],
)
def test_what_one_program_cannot_train_is_refused_before_anything_is_written(
    recipes: list[Recipe], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        mlplab.train_population(recipes, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_names_that_cannot_be_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    members = [mlplab.recipe("quickstart", optimizer={"learning_rate": r}) for r in (1e-3, 1e6)]
    with pytest.raises(RunError, match="cannot be a run's name"):
        mlplab.train_population(members, runs_dir=tmp_path, name="x" * 118)
    assert list(tmp_path.iterdir()) == []


def test_a_rate_that_a_callback_sets_for_all_cannot_be_varied(tmp_path: Path) -> None:
    rates = {"name": "LearningRateScheduler", "table": [[1, 1e-3]]}
    members = [
        mlplab.recipe("quickstart", optimizer={"learning_rate": r}, callbacks={"rates": rates})
        for r in (1e-3, 1e-2)
    ]
    with pytest.raises(RecipeError, match="the same learning rate"):
        mlplab.train_population(members, runs_dir=tmp_path)
