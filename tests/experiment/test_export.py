"""Networks for elsewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.errors import RunError
from mlplab.experiment import execute, export, inference
from mlplab.experiment.options import Options
from mlplab.runs import layout
from mlplab.runs.run import Run

pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    small: dict[str, Any] = {"training": {"epochs": 2}, "model": {"hidden": [16]}}
    recipe = mlplab.recipe("quickstart", callbacks={"tensorboard": "none"}, **small)
    folder = tmp_path_factory.mktemp("runs")
    return execute.run(recipe, Options(runs_dir=folder, name="small", keep="model"))


@pytest.fixture(scope="module")
def exported(run: Run) -> Path:
    return export.export(run, run.folder.parent / "elsewhere")


@pytest.fixture(scope="module")
def picture(run: Run) -> Path:
    path = run.folder.parent / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_an_exported_network_predicts_as_the_run_does(
    run: Run, exported: Path, picture: Path
) -> None:
    (expected,) = inference.predict(run, [picture])
    (found,) = inference.predict_exported(exported, [picture])
    assert found.classes == expected.classes
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_the_command_line_exports_and_predicts(run: Run, picture: Path, tmp_path: Path) -> None:
    folder, runs = str(tmp_path / "out"), ["--runs-dir", str(run.folder.parent)]
    done = CliRunner().invoke(app, ["export", "small", "--out", folder, "--json", *runs])
    assert json.loads(done.stdout) == {"folder": folder}
    said = CliRunner().invoke(app, ["predict", folder, str(picture), "--json"])
    assert json.loads(said.stdout)[0]["classes"][0] in run.record.class_names


def test_the_example_in_the_folder_says_what_predict_does(
    run: Run, exported: Path, picture: Path
) -> None:
    text = (exported / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    script = code[1].replace("photo.jpg", str(picture))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=exported, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == inference.predict(run, [picture])[0].classes[0]


def test_nothing_is_written_over(run: Run, exported: Path) -> None:
    with pytest.raises(RunError, match="already exists; give another"):
        export.export(run, exported)


@pytest.mark.parametrize("name", [layout.NETWORK, layout.NETWORK_FACTS])
def test_a_damaged_folder_is_refused(name: str, run: Run, picture: Path, tmp_path: Path) -> None:
    folder = export.export(run, tmp_path / "damaged")
    (folder / name).write_bytes(b"{}")
    with pytest.raises(RunError, match="not an exported network, or damaged"):
        inference.predict_exported(folder, [picture])
