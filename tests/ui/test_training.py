"""What a training writes for those who watch it."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.experiment.resumable import Stop
from tests.helpers import train

import mlplab
from mlplab.experiment import epochs
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, store
from mlplab.training.plan import NoProgress


def recipe(count: int = 3) -> Recipe:
    tables: dict[str, Any] = {"training": {"epochs": count}, "model": {"hidden": [12]}}
    return mlplab.recipe("quickstart", **tables)


class Reads(NoProgress):
    """Reads the progress file whenever the training reports steps."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / layout.PROGRESS
        self.found: list[dict[str, Any]] = []

    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
        self.found.append(json.loads(self.path.read_text()))


def test_progress_is_there_while_a_run_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "WRITTEN", 0.0)
    reads = Reads(tmp_path / "run")
    run = train(recipe(), tmp_path, "run", reads)
    last = reads.found[-1]
    assert (last["epoch"], last["epochs"]) == (3, 3)
    assert last["step"] == last["steps"] == 21
    assert last["loss"] == pytest.approx(run.history[-1]["loss"])
    assert last["seconds_left"] == 0
    assert reads.found[0]["images_per_second"] is None
    assert not reads.path.exists()
    assert layout.PROGRESS not in run.record.files


def test_progress_is_written_now_and_then(tmp_path: Path) -> None:
    file = epochs.ProgressFile(tmp_path, 10, 64)
    for step in range(1, 6):
        file.write(1, step, 5, {"loss": 1.0, "accuracy": 0.5})
    assert json.loads(file.path.read_text())["step"] == 1


def test_layers_are_measured_and_drawn_without_changing_the_result(tmp_path: Path) -> None:
    plain = train(recipe(), tmp_path, "plain")
    run = train(recipe(), tmp_path, "watched", layers=True)
    exact = ("loss", "accuracy", "val_loss", "val_accuracy")
    assert [[row[key] for key in exact] for row in run.history] == [
        [row[key] for key in exact] for row in plain.history
    ]
    rows = [json.loads(line) for line in (run.folder / layout.LAYERS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [each["layer"] for each in rows[0]["layers"]] == ["dense_1", "output"]
    outline = json.loads((run.folder / layout.PICTURES / layout.OUTLINE).read_text())
    assert outline[-1]["shape"] == [10]
    assert sum(layer["parameters"] for layer in outline) == run.record.parameters
    for epoch in range(4):
        for kind in ("weights", "fields"):
            with Image.open(run.folder / layout.PICTURES / f"{kind}-{epoch:04d}.png") as picture:
                assert picture.size == (26, 35)  # twelve units of 8×8 in rows of three
    assert {layout.LAYERS, "layers/weights-0003.png"} <= set(run.record.files)


def test_layers_of_a_resumed_run_have_each_epoch_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(recipe(6), tmp_path, "run", Stop(3, 0.5), layers=True, checkpoint_seconds=0)
    run = mlplab.resume("run", runs_dir=tmp_path, progress=None)
    lines = (run.folder / layout.LAYERS).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert store.read_record(run.folder).options["layers"]


def test_long_trainings_draw_fewer_epochs(tmp_path: Path) -> None:
    run = train(recipe(130), tmp_path, "run", layers=True)
    drawn = sorted(path.name for path in (run.folder / layout.PICTURES).glob("weights-*.png"))
    assert len(drawn) < 70
    last = len(run.history)
    assert drawn[:2] == ["weights-0000.png", "weights-0001.png"]
    assert drawn[-1] == f"weights-{last - last % 3:04d}.png"
