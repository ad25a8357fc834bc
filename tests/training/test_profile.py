"""Profiling: a table, a trace that really holds the steps, and nothing of the result changed."""

import gzip
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from mlplab.models.layers.dropout import Dropout
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Plan, TrainingData, TrainingSchedule
from mlplab.training.profile import profile

LAYERS = [
    keras.layers.Flatten,
    lambda: keras.layers.Dense(16, "relu"),
    lambda: Dropout(0.3, seed=1),
]


def trained(images: int = 96) -> tuple[keras.Model, Plan]:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((4, 4, 1), dtype="uint8"), *[make() for make in LAYERS]])
    model.add(keras.layers.Dense(3, "softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = rng.integers(0, 256, (images, 4, 4, 1), np.uint8)
    train = Arrays(jnp.asarray(x), jnp.asarray(rng.integers(0, 3, images), jnp.int32))
    plan = Plan(data=TrainingData(train=train), schedule=TrainingSchedule(batch_size=8, epochs=1))
    fit(model, plan)
    return model, plan


def values(model: keras.Model) -> list[Any]:
    kept = [*model.weights, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(variable.value) for variable in kept]


@pytest.fixture(scope="module")
def profiled(
    tmp_path_factory: pytest.TempPathFactory, short_measurements: None
) -> tuple[Path, dict[str, Any], bool]:
    model, plan = trained()
    before, folder = values(model), tmp_path_factory.mktemp("run") / "profile"
    table = profile(model, plan, folder)
    same = all(map(np.array_equal, before, values(model)))
    return folder, table, same


def test_profiling_changes_neither_weights_nor_optimizer_nor_seeds(profiled: Any) -> None:
    assert profiled[2]


def test_the_table_has_a_step_and_its_limit(profiled: Any) -> None:
    folder, table, _ = profiled
    assert json.loads((folder / "table.json").read_text()) == table
    step, limit = table["step_seconds"], table["limit"]
    assert 0 < step["lowest"] <= step["median"] <= step["highest"]
    assert table["ratio"] == pytest.approx(step["median"] / limit["seconds"])
    assert (table["batch_size"], table["traced_steps"]) == (8, 10)
    assert len(limit["products"]) == 5
    assert table["left_out"] == []


def test_the_trace_holds_the_operations_of_each_traced_step(profiled: Any) -> None:
    folder, table, _ = profiled
    with gzip.open(folder / "perfetto_trace.json.gz") as file:
        events = json.load(file)["traceEvents"]
    steps = [event for event in events if event.get("args", {}).get("hlo_module") == "jit_steps"]
    counts = dict.fromkeys((event["name"] for event in steps), 0)
    for event in steps:
        counts[event["name"]] += 1
    assert max(counts.values()) >= table["traced_steps"]
    assert any(event.get("name") == "10 training steps" for event in events)


def test_the_trace_is_where_tensorboard_looks_and_of_bounded_size(profiled: Any) -> None:
    files = [path for path in profiled[0].rglob("*") if path.is_file()]
    assert [path for path in files if path.match("plugins/profile/*/*.xplane.pb")]
    assert sum(path.stat().st_size for path in files) < 20e6


@pytest.mark.usefixtures("short_measurements")
def test_a_split_smaller_than_a_batch_can_be_profiled(tmp_path: Path) -> None:
    table = profile(*trained(images=5), tmp_path)
    assert (table["batch_size"], table["traced_steps"]) == (5, 1)
