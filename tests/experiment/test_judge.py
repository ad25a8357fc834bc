"""A run judged over views of its images, at its end and later."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.errors import RecipeError
from mlplab.runs.run import Run

TABLES: dict[str, Any] = {
    "training": {"epochs": 2},
    "model": {"hidden": [16]},
    "callbacks": {"early_stopping": "none", "tensorboard": "none"},
}
VIEWS = {"tta_flip": True, "tta_shift": 1}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = mlplab.recipe("quickstart", **TABLES)
    return train(recipe, tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = mlplab.recipe("quickstart", **TABLES, evaluation=VIEWS)
    return train(recipe, tmp_path_factory.mktemp("judged"), "judged")


@pytest.fixture
def later(plain: Run, tmp_path: Path) -> Run:
    """The plain run, to be evaluated anew."""
    return Run(shutil.copytree(plain.folder, tmp_path / "plain"))


def command(run: Run, *arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--runs-dir", str(run.folder.parent)])


def test_both_figures_are_recorded_and_the_plain_ones_stay(plain: Run, judged: Run) -> None:
    for split in ("train", "validation", "test"):
        metrics = dict(judged.metrics[split])
        over_views = metrics.pop("tta", None)
        assert metrics == plain.metrics[split]
        assert (over_views is None) == (split == "train")
    assert (over_views["views"], over_views["flip"], over_views["shift"]) == (10, True, 1)
    assert over_views["accuracy_low"] < over_views["accuracy"] < over_views["accuracy_high"]
    assert judged.record.test_openings == 1
    assert judged.record.findings == plain.record.findings


def test_averaged_probabilities_are_saved_beside_the_plain_ones(judged: Run, plain: Run) -> None:
    saved = judged.predictions("test")
    right = saved["probabilities_tta"].argmax(axis=1) == saved["labels"]
    assert judged.metrics["test"]["tta"]["accuracy"] == pytest.approx(right.mean())
    expected = plain.predictions("test")
    assert "probabilities_tta" not in expected
    np.testing.assert_array_equal(saved["probabilities"], expected["probabilities"])


def test_both_figures_are_shown(judged: Run) -> None:
    shown = command(judged, "runs", "show", "judged").stdout
    rows = [line for line in shown.splitlines() if line.startswith("test, 10 views")]
    accuracy = f"{100 * judged.metrics['test']['tta']['accuracy']:.1f} %"
    assert len(rows) == 1
    assert accuracy in rows[0]
    assert command(judged, "report", "judged").exit_code == 0
    page = (judged.folder / "report.html").read_text()
    assert f'<th scope="row">Test, 10 views</th><td>359</td><td>{accuracy}</td>' in page
    assert "Training, 10 views" not in page


def test_any_run_is_judged_over_views_later_in_one_opening(later: Run) -> None:
    flags = ("--tta-flip", "--tta-shift", "1", "--split", "test")
    before = later.record.test_openings
    done = command(later, "evaluate", "plain", *flags, "--json")
    metrics = json.loads(done.stdout)
    assert metrics["tta"]["views"] == 10
    assert later.metrics["test"] == metrics
    assert later.record.test_openings == before + 1
    lines = command(later, "evaluate", "plain", *flags).stdout.splitlines()
    assert "averaged over 10 views of each image (mirrored, moved by 1 pixel)" in lines
    for measured in (metrics, metrics["tta"]):
        assert any(f"{100 * measured['accuracy']:.1f} %" in line for line in lines)


def test_without_flags_the_recipe_says_the_views_and_flags_overrule_it(judged: Run) -> None:
    as_trained = json.loads(command(judged, "evaluate", "judged", "--json").stdout)
    assert as_trained == judged.metrics["validation"]
    assert as_trained["tta"]["views"] == 10
    flags = ("--no-tta-flip", "--split", "train", "--json")
    assert json.loads(command(judged, "evaluate", "judged", *flags).stdout)["tta"]["views"] == 5


def test_a_move_out_of_the_image_opens_nothing(later: Run) -> None:
    before = later.record.test_openings
    done = command(later, "evaluate", "plain", "--split", "test", "--tta-shift", "8")
    assert done.exit_code == 2
    assert "at most 7" in " ".join(done.stderr.split())
    assert later.record.test_openings == before


def test_a_run_validated_on_test_is_averaged_there_too(tmp_path: Path) -> None:
    tables = {**TABLES, "data": {"validation": "test"}, "evaluation": VIEWS}
    run = train(mlplab.recipe("quickstart", **tables), tmp_path)
    assert run.metrics["validation"] == run.metrics["test"]
    assert run.metrics["test"]["tta"]["views"] == 10
    assert run.record.test_openings == 2


def test_a_calibrated_network_is_saved_and_predicts_the_same_classes(
    plain: Run, tmp_path: Path
) -> None:
    calibrate = {"calibrate": "temperature"}
    run = train(mlplab.recipe("quickstart", **TABLES, evaluation=calibrate), tmp_path, "calibrated")
    temperature = run.record.temperature
    assert temperature is not None
    for split in ("validation", "test"):
        before, after = (
            r.predictions(split)["probabilities"].astype(np.float64) for r in (plain, run)
        )
        np.testing.assert_allclose(after, softmax(np.log(before) / temperature, 1), rtol=1e-3)
        assert run.metrics[split]["accuracy"] == plain.metrics[split]["accuracy"]
    assert run.metrics["validation"]["loss"] < plain.metrics["validation"]["loss"]
    measured = run.metrics["validation"]["loss"]
    assert command(run, "evaluate", "calibrated", "--split", "validation").exit_code == 0
    assert run.metrics["validation"]["loss"] == pytest.approx(measured, rel=1e-6)
    assert command(run, "report", "calibrated").exit_code == 0
    assert f"<dd>{temperature:.2f}</dd>" in (run.folder / "report.html").read_text()


def test_nothing_is_calibrated_on_the_test_split() -> None:
    with pytest.raises(RecipeError, match="would be fitted on the test split"):
        mlplab.recipe(
            "quickstart",
            **TABLES,
            data={"validation": "test"},
            evaluation={"calibrate": "temperature"},
        )
