"""CIFAR-10.1, a second test set for runs on CIFAR-10."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.data.published import CIFAR10
from mlplab.data.second_tests import FILES
from mlplab.errors import DataError, RunError
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, ledger
from mlplab.runs.run import Run

RNG = np.random.default_rng(0)


def put(folder: Path, images: Any = None, labels: Any = None) -> None:
    """Write 30 images of CIFAR-10.1."""
    folder.mkdir(exist_ok=True)
    made = RNG.integers(0, 256, (30, 32, 32, 3), np.uint8)
    np.save(folder / FILES[0], made if images is None else images)
    np.save(folder / FILES[1], (np.arange(30) % 10).astype(np.int32) if labels is None else labels)


def recipe(**data: Any) -> Recipe:
    return mlplab.recipe(
        "quickstart",
        data={"name": "cifar10", "validation": 0.5, **data},
        training={"epochs": 1},
        model={"hidden": [4]},
        callbacks={"tensorboard": "none", "early_stopping": "none"},
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small CIFAR-10 in class folders, and a run on it."""
    root = tmp_path_factory.mktemp("second")
    for split, each in (("train", 4), ("test", 1)):
        for name in CIFAR10.class_names:
            folder = root / "data" / "cifar10" / split / name
            folder.mkdir(parents=True)
            for number in range(each):
                pixels = RNG.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    train(recipe(), root / "runs", "first", data_dir=root / "data", test=False)
    return root


@pytest.fixture
def run(place: Path, tmp_path: Path) -> mlplab.Run:
    shutil.copytree(place, tmp_path / "copy")
    return mlplab.load_run("first", tmp_path / "copy" / "runs")


def data_dir(run: Run) -> Path:
    return run.folder.parents[1] / "data"


@pytest.mark.parametrize("folder", ["cifar10.1", "cifar10", "."])
def test_its_figures_stand_beside_those_of_the_test_split(run: mlplab.Run, folder: str) -> None:
    put(data_dir(run) / folder)
    before = run.record
    metrics = run.evaluate("cifar10.1", data_dir=data_dir(run))
    record = run.record
    assert metrics["n"] == 30
    assert record.metrics == {**before.metrics, "cifar10.1": metrics}
    assert len(run.predictions("cifar10.1")["labels"]) == 30
    assert record.files[layout.predictions("cifar10.1")]
    assert (record.test_openings, record.ledger) == (before.test_openings, before.ledger)
    assert "CIFAR-10.1 accuracy" in (run.folder / layout.REPORT).read_text()


def test_each_look_at_it_is_counted_by_itself(run: mlplab.Run) -> None:
    put(data_dir(run) / "cifar10.1")
    command = ["evaluate", "first", "--split", "cifar10.1", "--data-dir", str(data_dir(run))]
    for _ in range(2):
        done = CliRunner().invoke(app, [*command, "--runs-dir", str(run.folder.parent)])
        assert done.exit_code == 0, done.output
    assert "cifar10.1 evaluated 2 times, for 1 configuration in this runs folder" in done.output
    assert ledger.count(run.folder.parent, run.record.data_ids)["openings"] == 0


def test_of_some_classes_it_has_these(place: Path, tmp_path: Path) -> None:
    labels = (np.arange(30) % 10).astype(np.int64)
    shutil.copytree(place / "data", tmp_path / "data")
    put(tmp_path / "data" / "cifar10.1", labels=labels)
    some = recipe(classes=["truck", "bird", "cat"])
    found = train(some, tmp_path / "runs", "some", data_dir=tmp_path / "data", test=False)
    mlplab.load_run("some", found.folder.parent).evaluate("cifar10.1", data_dir=tmp_path / "data")
    named = found.predictions("cifar10.1")
    classes = [found.record.class_names[label] for label in named["labels"].tolist()]
    assert classes == ["bird", "cat", "truck"] * 3


def test_where_it_belongs_is_said_in_one_line(run: mlplab.Run) -> None:
    with pytest.raises(DataError) as error:
        run.evaluate("cifar10.1", data_dir=data_dir(run))
    assert "\n" not in str(error.value)
    assert " and ".join(FILES) in str(error.value)
    assert "into cifar10.1/ in one of" in str(error.value)
    with pytest.raises(RunError, match="no split is called 'cifar10'"):
        run.evaluate("cifar10", data_dir=data_dir(run))


def test_a_run_on_other_images_is_refused(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "runs" / "short")
    with pytest.raises(DataError, match=r"is a test set of cifar10, but this run is on digits"):
        mlplab.load_run("short", tmp_path / "runs").evaluate("cifar10.1")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((30, 28, 28), np.uint8), None),
        (np.zeros((30, 32, 32, 3), np.float32), None),
        (None, np.arange(29)),
        (None, np.arange(30)),
        (None, np.array([{}] * 30, object)),
    ],
)
def test_other_arrays_are_refused(run: mlplab.Run, images: Any, labels: Any) -> None:
    put(data_dir(run) / "cifar10.1", images, labels)
    with pytest.raises(DataError, match=r"is damaged or not that of CIFAR-10\.1"):
        run.evaluate("cifar10.1", data_dir=data_dir(run))
    assert "cifar10.1" not in run.metrics
