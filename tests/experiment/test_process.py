"""A training from Python leaves the user's process as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlplab
from mlplab.errors import UserError
from mlplab.recipes.recipe import Recipe

SCRIPT = """
import json, logging, random, signal, sys, warnings
import jax, keras, numpy as np
import mlplab

def state():
    return {
        "keras": keras.config.is_interactive_logging_enabled(),
        "floats": [keras.config.floatx(), keras.config.epsilon(), keras.config.dtype_policy().name],
        "layout": keras.config.image_data_format(),
        "python": random.getstate()[1][:3],
        "numpy": np.random.get_state()[1][:3].tolist(),
        "errors": np.geterr(),
        "jax": {k: repr(v) for k, v in jax.config.values.items()},
        "path": sys.path,
        "filters": [repr(filter) for filter in warnings.filters],
        "handlers": [len(logging.root.handlers), logging.root.level],
        "signals": [repr(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)],
        "bytecode": sys.dont_write_bytecode,
    }

keras.utils.set_random_seed(7)
drawn = [float(keras.random.normal(())) for _ in range(2)]
keras.utils.set_random_seed(7)
assert float(keras.random.normal(())) == drawn[0]
before = json.loads(json.dumps(state()))
recipe = mlplab.recipe(
    "quickstart",
    training={"epochs": 1},
    data={"share": 0.2},
    model={"name": "own:network"},
    evaluation={"splits": ["validation"]},
    callbacks={"tensorboard": "none"},
)
mlplab.train(recipe, runs_dir="runs", trust=True, open_test=False)
after = json.loads(json.dumps(state()))
assert float(keras.random.normal(())) == drawn[1]
for key in before:
    assert before[key] == after[key], (key, before[key], after[key])
keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).summary()
"""
OWN = """
import keras
def network(input_shape, classes, scaling):
    layers = [keras.Input(input_shape, dtype="uint8"), scaling, keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")])
"""


@pytest.mark.timeout(300)  # a new process loads Keras, JAX and Matplotlib
def test_nothing_global_is_another_after_a_training(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere" / "script.py"
    script.write_text(SCRIPT)
    source = Path(mlplab.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source), "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Total params: 9" in done.stdout


def quick() -> Recipe:
    return mlplab.recipe(
        "quickstart",
        training={"epochs": 2},
        data={"share": 0.2},
        model={"hidden": [8]},
        callbacks={"tensorboard": "none"},
    )


class Rows:
    """What a user writes to see epochs only."""

    def __init__(self) -> None:
        self.epochs: list[float] = []

    def on_row(self, row: dict[str, float]) -> None:
        self.epochs.append(row["epoch"])


@pytest.mark.usefixtures("without_pictures")
def test_progress_may_have_some_of_the_methods(tmp_path: Path) -> None:
    rows = Rows()
    mlplab.train(quick(), runs_dir=tmp_path, progress=rows)  # type: ignore[arg-type]
    assert rows.epochs == [1, 2]


def test_progress_with_none_of_the_methods_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="on_steps, on_row, on_note"):
        mlplab.train(quick(), runs_dir=tmp_path, progress=print)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
