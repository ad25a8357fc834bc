from pathlib import Path

import keras
import pytest

from mlplab.models import onnx


def test_files_of_a_large_network_are_readable_like_any_other(tmp_path: Path) -> None:
    pytest.importorskip("jax2onnx")
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    hidden = keras.layers.Dense(4096)(flat)
    outputs = keras.layers.Dense(256, activation="softmax")(hidden)
    (tmp_path / "ordinary").touch()
    onnx.export(keras.Model(inputs, outputs), tmp_path / "network.onnx")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert "network.onnx.data" in modes
    assert len(set(modes.values())) == 1, modes
