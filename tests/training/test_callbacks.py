import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tests.helpers import train

from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.recipes.schema import Named
from mlplab.training.callbacks import CALLBACKS, Context, build, check_together, complete

DEFAULTS: dict[str, dict[str, Any]] = {
    "LearningRateScheduler": {"table": [[1, 0.1], [3, 0.01]]},
    "Track": {"to": "mlflow"},
}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    images = np.zeros((4, 2, 2, 1), np.uint8)
    return Context(
        tmp_path, images, images, np.arange(4, dtype=np.int32), None, tuple("abcd"), "", False
    )


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_callback_is_built_by_its_name_in_any_capitalisation(
    name: str, context: Context
) -> None:
    if name == "Track":
        pytest.importorskip("mlflow")
    settings = Named(name=name.upper(), **DEFAULTS.get(name, {}))
    completed = complete("key", settings)
    assert completed.name == name
    assert complete("key", completed) == completed
    (built,) = build({"key": completed}, context)
    assert isinstance(built, CALLBACKS[name])


def test_the_knobs_of_early_stopping_reach_it(context: Context) -> None:
    knobs = {"monitor": "val_accuracy", "mode": "max", "baseline": 0.4, "start_from_epoch": 2}
    settings = Named(name="EarlyStopping", **knobs)
    (built,) = build({"stop": complete("stop", settings)}, context)
    assert (built.monitor, built.baseline, built.start_from_epoch) == ("val_accuracy", 0.4, 2)
    assert built.monitor_op is np.greater or built.mode == "max"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "EarlyStoping"}, "did you mean 'EarlyStopping'"),
        ({"name": "EarlyStopping", "patiense": 3}, "did you mean 'patience'"),
        ({"name": "EarlyStopping", "patience": 2.5}, "patience"),
        ({"name": "EarlyStopping", "verbose": 1}, "verbose"),
        ({"name": "EarlyStopping", "monitor": "val_acuracy"}, "did you mean 'val_accuracy'"),
        ({"name": "CSVLogger", "filename": "/etc/passwd"}, "outside the run folder"),
        ({"name": "ModelCheckpoint", "filepath": "../a.keras"}, "outside the run folder"),
        ({"name": "ModelCheckpoint", "filepath": "a.txt"}, "keras"),
        ({"name": "ModelCheckpoint", "filepath": "{foo}.keras"}, "foo"),
        ({"name": "CSVLogger", "filename": "metrics.jsonl"}, "written by mlplab"),
        ({"name": "CSVLogger", "filename": "figures/../record.json"}, "written by mlplab"),
        ({"name": "module:Class"}, "--trust"),
        ({"name": "LearningRateScheduler"}, "table"),
        ({"name": "LearningRateScheduler", "table": [[3, 0.1], [1, 0.1]]}, "ascending"),
        ({"name": "LearningRateScheduler", "table": [[1, float("nan")]]}, "above 0"),
        ({"name": "TensorBoard", "log_dir": "x"}, "log_dir"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        complete("key", Named(**settings))


def test_a_rate_of_the_table_holds_from_its_epoch_on(context: Context) -> None:
    (built,) = build({"rates": Named(name="LearningRateScheduler", table=[[2, 0.1], [4, 0.01]])},
                     context)  # fmt: skip
    assert [built.schedule(epoch, 0.5) for epoch in range(5)] == [0.5, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize(
    "overrides",
    [
        ["schedule.name=CosineDecay", "callbacks.p.name=ReduceLROnPlateau"],
        ["callbacks.swap.name=SwapEMAWeights"],
    ],
)
def test_callbacks_that_cannot_work_with_the_rest_are_refused(overrides: list[str]) -> None:
    with pytest.raises(RecipeError, match="callbacks"):
        check_together(recipes.load("published", overrides))


def test_files_of_callbacks_lie_in_the_run_folder(tmp_path: Path) -> None:
    import mlplab

    recipe = mlplab.recipe(
        "quickstart",
        training={"epochs": 2},
        model={"hidden": [8]},
        callbacks={
            "log": {"name": "CSVLogger"},
            "save": {"name": "ModelCheckpoint", "save_best_only": True, "filepath": "best.keras"},
            "tensorboard": "none",
        },
    )
    run = train(recipe, tmp_path)
    with (run.folder / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]
    assert keras.saving.load_model(run.folder / "best.keras").count_params() == 610
    assert "best.keras" in run.record.files
