"""Comparisons as a folder: accuracy against cost, and where sides differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mlplab
from mlplab import data
from mlplab.cli import app
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.report.configurations import find_sides
from mlplab.report.disagreement import disagreement


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds each of a network that learns and of one that hardly does."""
    folder = tmp_path_factory.mktemp("runs")
    for name, rate in (("learns", 1e-2), ("hardly", 1e-5)):
        for seed in (0, 1):
            recipe = mlplab.recipe(
                "quickstart",
                seed=seed,
                model={"hidden": [16]},
                optimizer={"learning_rate": rate},
                training={"epochs": 3},
                callbacks={"tensorboard": "none"},
            )
            options = Options(runs_dir=folder, name=f"{name}-{seed}", group=name, test=True)
            execute.run(recipe, replace(options, keep="results"))
    return folder


def test_what_one_alone_has_right_is_what_its_predictions_say(runs_dir: Path) -> None:
    first, second = find_sides(runs_dir, ["learns", "hardly"])
    apart = disagreement(first, second, "test")
    dataset = data.load(mlplab.recipe("quickstart").data)
    truth = dict(zip(dataset.test.index.tolist(), dataset.test.labels.tolist(), strict=True))
    assert apart.labels.tolist() == [truth[index] for index in apart.index.tolist()]
    for place, side in enumerate((first, second)):
        accuracy = np.mean(list(side.values("test").values()))
        assert apart.right[place].mean() == pytest.approx(accuracy)
    alone = apart.only_first()
    assert (apart.right[0][alone] > apart.right[1][alone]).all()
    assert (apart.said[1][alone[apart.right[1][alone] == 0]] >= 0).all()
    counts = apart.counts(10)
    assert counts.sum() == len(dataset.test)
    assert counts[:, 1].sum() == len(alone) > counts[:, 2].sum()


def test_a_folder_has_a_page_and_its_pictures(runs_dir: Path, tmp_path: Path) -> None:
    arguments = ["compare", "hardly", "learns", "--out", str(tmp_path / "page")]
    done = CliRunner().invoke(app, [*arguments, "--runs-dir", str(runs_dir)])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page" / "README.md").read_text()
    assert "| class | both | only learns | only hardly | neither |" in text
    for name in ("pareto.png", "right-alone-1a.png", "right-alone-1b.png"):
        assert name in text
        assert (tmp_path / "page" / name).stat().st_size > 5_000
