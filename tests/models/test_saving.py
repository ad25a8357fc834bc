"""Networks in files that somebody else made."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from mlplab.errors import RunError
from mlplab.models import saving
from mlplab.recipes.networks.base import MOST_LAYERS


def network(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Flatten(), *layers])


def rewritten(path: Path, change: Any) -> None:
    """Write a network's file anew, with what ``change`` makes of its description."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config)).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    saving.save(network(keras.layers.Dense(3)), tmp_path / "model.keras")
    return tmp_path / "model.keras"


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        saving.load(path, MOST_LAYERS)
    return str(caught.value)


def test_a_network_comes_back(path: Path) -> None:
    assert saving.load(path, MOST_LAYERS).count_params() == 16 * 3 + 3


def test_code_in_a_network_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = keras.layers.Lambda(lambda x: __import__("os").mkdir("made") or x, output_shape=(16,))
    model = network(keras.layers.Dense(16), code)
    model(np.zeros((1, 4, 4, 1), np.float32))
    (tmp_path / "made").rmdir()
    model.save("model.keras")
    assert "cannot be opened" in refused(tmp_path / "model.keras")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("keras.utils", "get_file"), ("subprocess", "Popen")]
)
def test_a_layer_that_names_other_code_is_refused(module: str, name: str, path: Path) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1] |= {"module": module, "class_name": name}
        config["config"]["layers"][1]["registered_name"] = None
        return config

    rewritten(path, change)
    assert "cannot be opened" in refused(path)


def test_a_network_that_does_not_fit_is_refused_before_it_is_made(path: Path) -> None:
    def change(config: Any) -> Any:
        dense = config["config"]["layers"][-1]
        dense["config"]["units"] = 10**14
        del dense["build_config"]
        return config

    rewritten(path, change)
    assert "of memory" in refused(path)


def test_hdf5_under_another_name_is_refused(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    assert "not a zip file" in refused(path)


def test_more_than_a_network_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", "x")
    assert "'../outside'" in refused(path)
    assert not (path.parent.parent / "outside").exists()


def test_weights_that_lie_in_another_file_are_not_read(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "weights.h5"
    weights.write_bytes(parts["model.weights.h5"])
    (tmp_path / "secret").write_bytes(np.ones(48, np.float32).tobytes())
    with h5py.File(weights, "r+") as file:
        kernel = next(f"{name}/vars/0" for name in all_groups(file) if f"{name}/vars/0" in file)
        del file[kernel]
        outside = [(os.fspath(tmp_path / "secret"), 0, 192)]
        file.create_dataset(kernel, (16, 3), np.float32, external=outside)
    parts["model.weights.h5"] = weights.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "could not be loaded" in refused(path)


def all_groups(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


@pytest.mark.parametrize("content", [b"", b"PK", b"no network"])
def test_damaged_files_are_named(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert str(path) in refused(path)


def test_an_array_larger_than_its_network_is_refused(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "weights.h5").write_bytes(parts["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        kernel = next(f"{name}/vars/0" for name in all_groups(file) if f"{name}/vars/0" in file)
        del file[kernel]
        file.create_dataset(kernel, (350_000_000,), np.float32, chunks=(1000,))
    parts["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert "larger than its network" in refused(path)
