"""Runs over folds, taken together."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab import recipes
from mlplab.cli.app import app
from mlplab.errors import RecipeError, RunError
from mlplab.report import folds
from mlplab.runs.run import Run

TABLES: dict[str, Any] = {
    "training": {"epochs": 2},
    "model": {"hidden": [16]},
    "callbacks": {"early_stopping": "none", "tensorboard": "none"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("folds")
    variants = recipes.over_folds(mlplab.recipe("quickstart", **TABLES), 3)
    return [train(v, folder, f"f{n}", test=False) for n, v in enumerate(variants, start=1)]


def test_every_image_is_predicted_once(runs: list[Run], tmp_path: Path) -> None:
    found = folds.together(runs)
    parts = [run.predictions("validation") for run in runs]
    index = found.predictions["index"]
    assert index.tolist() == sorted({int(i) for part in parts for i in part["index"]})
    assert len(index) == 1438
    right = sum((p["probabilities"].argmax(1) == p["labels"]).sum() for p in parts)
    assert found.metrics["accuracy"] == pytest.approx(right / 1438)
    assert found.low < found.mean < found.high
    folds.write(found, tmp_path / "new")
    told = json.loads((tmp_path / "new/folds.json").read_text())
    assert told["accuracy"]["mean"] == pytest.approx(np.mean(found.accuracies))
    rows = list(csv.DictReader((tmp_path / "new/labels.csv").open()))
    assert [row["file"] for row in rows] == [row["file"] for row in found.labels]
    assert {row["reason"] for row in rows} <= {"label"}


def test_runs_that_are_not_all_folds_are_refused(runs: list[Run]) -> None:
    with pytest.raises(RunError, match="not the runs of all folds"):
        folds.together(runs[:2])


def test_folds_are_trained_and_shown_by_one_command(tmp_path: Path) -> None:
    overrides = ["training.epochs=1", "model.hidden=[8]", "callbacks.tensorboard=none"]
    words = ["train", "quickstart", *overrides, "--folds", "2", "--name", "cv"]
    done = CliRunner().invoke(app, [*words, "--runs-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "2 folds" in done.stdout
    assert "all 1,438 images" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cv-f1", "cv-f2", "cv-folds"]
    assert "data.fold" in Run(tmp_path / "cv-f2").record.command


@pytest.mark.parametrize("more", [["--seeds", "0..1"], ["--population", "seed=0..1"]])
def test_folds_are_of_one_seed(more: list[str]) -> None:
    done = CliRunner().invoke(app, ["train", "quickstart", "--folds", "2", *more])
    assert done.exit_code == 2
    assert "--folds cannot be combined" in done.stderr


@pytest.mark.parametrize("data", [{"fold": [6, 5]}, {"fold": [1, 2], "validation": "test"}])
def test_a_fold_that_makes_no_sense_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"\[2, 5\]|remove one of the two"):
        mlplab.recipe("quickstart", data=data)
