"""Runs of the user's own code: loaded as it is, recorded, and part of the configuration."""

from pathlib import Path
from typing import Any

import keras
import pytest
from tests.helpers import train

import mlplab
from mlplab.errors import RunError
from mlplab.experiment import resume
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout
from mlplab.runs.run import Run

CODE = """
import keras

class Interrupt(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0 and self.model.optimizer.iterations < 40:
            raise KeyboardInterrupt

def network(input_shape, classes, scaling):
    layers = [keras.Input(input_shape, dtype="uint8"), scaling, keras.layers.Flatten()]
    layers += [keras.layers.Dense(WIDTH), keras.layers.Dense(classes, activation="softmax")]
    return keras.Sequential(layers)
"""


def recipe(module: str, **tables: Any) -> Recipe:
    return mlplab.recipe(
        "quickstart",
        model={"name": f"{module}:network"},
        training={"epochs": 1},
        data={"share": 0.2},
        callbacks={"tensorboard": "none", **tables},
    )


def test_each_version_of_a_file_is_trained_and_is_a_configuration_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"own_{tmp_path.name}.py"
    runs = []
    for width in (4, 8, 8):
        file.write_text(CODE.replace("WIDTH", str(width)))
        runs.append(train(recipe(file.stem), tmp_path / "runs", trust=True))
        kept = runs[-1].folder / layout.CODE / file.name
        assert kept.read_text() == file.read_text()
    assert [run.record.parameters for run in runs] == [64 * w + w + w * 10 + 10 for w in (4, 8, 8)]
    ids = [run.record.config_id for run in runs]
    assert ids[0] != ids[1] == ids[2]
    assert type(keras.saving.load_model(runs[0].folder / layout.MODEL)) is keras.Sequential


def test_a_run_is_not_resumed_with_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"own_{tmp_path.name}.py"
    file.write_text(CODE.replace("WIDTH", "4"))
    stops = {"stop": {"name": f"{file.stem}:Interrupt"}}
    with pytest.raises(KeyboardInterrupt):
        train(recipe(file.stem, **stops), tmp_path / "runs", "broken", trust=True)
    run = Run(tmp_path / "runs" / "broken")
    options = Options(trust=True, runs_dir=tmp_path / "runs")
    found = resume.unfinished(recipe(file.stem, **stops), options)
    assert found is not None
    file.write_text(CODE.replace("WIDTH", "8"))
    assert resume.unfinished(recipe(file.stem, **stops), options) is None
    with pytest.raises(RunError, match="the code that broken was started with has changed"):
        resume.resume(run, options)
