"""Networks for elsewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.errors import DataError, RunError
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


def _sixteen_bits() -> Image.Image:
    return Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 6)


def _transparent() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    return Image.fromarray(pixels)


def _grey() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8))


@pytest.mark.parametrize("make", [_grey, _sixteen_bits, _transparent])
def test_the_example_in_the_folder_says_what_predict_does(
    make: Callable[[], Image.Image], run: Run, exported: Path, tmp_path: Path
) -> None:
    make().save(tmp_path / "photo.png")
    text = (exported / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    script = code[1].replace("photo.jpg", str(tmp_path / "photo.png"))
    script += "import sys\nassert 'mlplab' not in sys.modules\nprint(probabilities[0].max())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=exported, capture_output=True, text=True, check=True
    )
    name, highest = done.stdout.split()
    (expected,) = inference.predict(run, [tmp_path / "photo.png"])
    assert name == expected.classes[0]
    assert float(highest) == pytest.approx(expected.probabilities[0], abs=1e-5)


def test_a_folder_of_pictures_is_classified(run: Run, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "deeper").mkdir(parents=True)
    _grey().save(tmp_path / "photos" / "one.png")
    _transparent().save(tmp_path / "photos" / "deeper" / "two.png")
    (tmp_path / "photos" / "damaged.png").write_bytes(b"no image")
    found = inference.predict(run, [tmp_path / "photos"])
    named = {Path(one.path).name: one.error is None for one in found}
    assert named == {"one.png": True, "two.png": True, "damaged.png": False}
    alone = inference.predict(run, [tmp_path / "photos" / "one.png"])[0]
    together = next(one for one in found if one.path == alone.path)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-6)
    assert len(inference.predict_exported(exported, [tmp_path / "photos"])) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no files"):
        inference.predict(run, [tmp_path / "empty"])


def test_nothing_is_written_over(run: Run, exported: Path) -> None:
    with pytest.raises(RunError, match="already exists; choose another path"):
        export.export(run, exported)


@pytest.mark.parametrize("name", [layout.NETWORK, layout.NETWORK_FACTS])
def test_a_damaged_folder_is_refused(name: str, run: Run, picture: Path, tmp_path: Path) -> None:
    folder = export.export(run, tmp_path / "damaged")
    (folder / name).write_bytes(b"{}")
    with pytest.raises(RunError, match="not an exported network, or damaged"):
        inference.predict_exported(folder, [picture])
