"""Settings of Keras and JAX, and variables that JAX reads, do not reach results unnoticed."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import pytest
from tests.experiment.resumable import interrupted
from tests.helpers import train

import mlplab
from mlplab.errors import RecipeError, RunError, UserError
from mlplab.experiment import isolation
from mlplab.experiment.networks import load_network

SHORT: dict[str, Any] = {
    "training": {"epochs": 2},
    "model": {"hidden": [16]},
    "callbacks": {"tensorboard": None},
}
OTHER_JAX = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_rank_promotion": "raise",
    "jax_random_seed_offset": 7,
}


@pytest.fixture
def other_settings() -> Iterator[None]:
    """Settings of a program of the user's own."""
    before = {name: read() for name, (read, _, _) in isolation.KERAS.items()}
    jax_before = {name: getattr(jax.config, name) for name in OTHER_JAX}
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(0.1)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    for name, value in OTHER_JAX.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    yield
    isolation._restore(before, jax_before)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    recipe = mlplab.recipe("quickstart", **SHORT)
    return train(recipe, tmp_path_factory.mktemp("plain"), "plain")


@pytest.mark.usefixtures("other_settings")
def test_settings_of_the_program_change_no_bit_and_are_as_before_afterwards(
    plain: Any, tmp_path: Path
) -> None:
    run = train(mlplab.recipe("quickstart", **SHORT), tmp_path, "run")
    assert run.metrics == plain.metrics
    assert {str(weight.dtype) for weight in load_network(run).get_weights()} == {"float32"}
    assert (keras.config.floatx(), keras.config.epsilon()) == ("float16", 0.1)
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert {name: getattr(jax.config, name) for name in OTHER_JAX} == OTHER_JAX


@pytest.mark.usefixtures("other_settings")
def test_settings_return_when_the_last_of_several_trainings_ends() -> None:
    first, second = isolation.isolated(), isolation.isolated()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert keras.config.floatx() == "float32"
    second.__exit__(None, None, None)
    assert keras.config.floatx() == "float16"


def test_neither_a_keras_json_nor_variables_change_a_result(plain: Any, tmp_path: Path) -> None:
    settings = {
        "floatx": "float16",
        "epsilon": 0.1,
        "image_data_format": "channels_first",
        "backend": "torch",
        "nnx_enabled": True,
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    variables = {
        "KERAS_HOME": str(tmp_path),
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_DEBUG_NANS": "1",
    }
    words = ["training.epochs=2", "model.hidden=[16]", "callbacks.tensorboard=none"]
    words += ["--test", "--json", "--runs-dir", "runs"]
    done = subprocess.run(
        [sys.executable, "-m", "mlplab", "train", "quickstart", *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    record = json.loads(done.stdout)
    assert record["metrics"] == plain.metrics
    assert record["config_id"] == plain.record.config_id


def test_code_that_changes_keras_for_the_whole_process_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import keras\nkeras.config.set_epsilon(0.1)\n"
    code += "def callback(): return keras.callbacks.Callback()\n"
    (tmp_path / "sets_epsilon.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    callbacks = {"tensorboard": None, "own": {"name": "sets_epsilon:callback"}}
    recipe = mlplab.recipe("quickstart", **{**SHORT, "callbacks": callbacks})
    with pytest.raises(RecipeError, match=r"epsilon to 0\.1"):
        train(recipe, tmp_path, trust=True)
    assert keras.config.epsilon() == 1e-7


def test_a_run_is_not_resumed_under_variables_that_round_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_b=1 --xla_a=1 --xla_dump_to=x")
    interrupted("schedule", tmp_path, 2, 0.5)
    record = mlplab.load_run("run", tmp_path).record
    assert (record.variables or {})["XLA_FLAGS"] == "--xla_a=1 --xla_b=1"
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    with pytest.raises(RunError, match=r"XLA_FLAGS='--xla_a=1 --xla_b=1' \(now --xla_a=1\)"):
        mlplab.resume("run", runs_dir=tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_b=1")
    assert mlplab.resume("run", runs_dir=tmp_path).record.status == "finished"


def _in_child(queue: "multiprocessing.SimpleQueue[str]", folder: Path) -> None:
    try:
        train(mlplab.recipe("quickstart", **SHORT), folder)
    except UserError as error:
        queue.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.usefixtures("plain")
def test_a_forked_child_of_a_process_that_trained_says_so_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(said, tmp_path))
    child.start()
    child.join(30)
    child.kill()
    assert not said.empty()
    assert 'get_context("spawn")' in said.get()
