import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mlplab
from mlplab.errors import RunError, StorageError
from mlplab.figures import sample_grid
from mlplab.optim.documented import PARAMETERS
from mlplab.recipes.networks import FAMILIES
from mlplab.recipes.recipe import Recipe
from mlplab.tensorboard import server as board
from mlplab.tensorboard.events import Events, binned
from mlplab.tensorboard.hparams import hyperparameters, write_results
from mlplab.tensorboard.of_run import RunTensorBoard

DIGITS = load_digits()
IMAGES = (DIGITS.images[:300, ..., None] * 15).astype(np.uint8)
LABELS = DIGITS.target[:300].astype(np.int32)
NAMES = list("0123456789")
ADAM = {"name": "adam", "learning_rate": 1e-3, "clipnorm": "none", "amsgrad": False}
SGD = {"name": "sgd", "learning_rate": 1, "clipnorm": 1.0, "momentum": 0.9}
SERVE = [sys.executable, "-m", "mlplab", "tensorboard"]

Histories = dict[str, dict[str, list[float]]]
Runs = tuple[Path, Histories]


class Ask(Protocol):
    """Asks the server."""

    def __call__(self, path: str, body: Any = None, **query: Any) -> Any: ...


def build() -> keras.Model:
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    x = keras.layers.Dropout(0.2)(keras.layers.Dense(16, activation="relu", name="dense_1")(x))
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="output")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


MODEL = build()
START = [(v, v.numpy()) for v in [*MODEL.variables, *MODEL.optimizer.variables]]


def train(
    folder: Path | None, epochs: int = 2, first: int = 0, **options: Any
) -> dict[str, list[float]]:
    """Train a small network with dropout, from the same weights each time; return its history."""
    keras.utils.set_random_seed(epochs)
    for variable, value in START:
        variable.assign(value)
    callbacks = []
    if folder is not None:
        probe = IMAGES[:50], IMAGES[:50], LABELS[:50], NAMES
        callbacks.append(RunTensorBoard(folder, *probe, recipe_text="seed = 0\n", **options))
    held_out = IMAGES[200:], LABELS[200:]
    settings = {"epochs": epochs, "initial_epoch": first, "validation_data": held_out}
    fit = MODEL.fit(IMAGES[:200], LABELS[:200], callbacks=callbacks, verbose=0, **settings)
    history: dict[str, list[float]] = fit.history
    return history


def judge(
    folder: Path,
    seed: int,
    optimizer: dict[str, Any],
    config_id: str,
    accuracy: float,
    confusion: NDArray[np.int64] | None = None,
    mistakes: Figure | None = None,
) -> None:
    recipe: dict[str, Any] = {"seed": seed, "data": {"validation": "test"}, "optimizer": optimizer}
    metrics: dict[str, Any] = {"accuracy": accuracy, "loss": 1.0}
    if optimizer is SGD:
        recipe["data"] = {"validation": 0.1}
        metrics["tta"] = {"accuracy": accuracy + 0.1, "views": 2}
    write_results(
        folder,
        recipe=recipe,
        config_id=config_id,
        metrics={"validation": metrics, "test": {"accuracy": 0.99}},
        confusion=confusion,
        class_names=NAMES,
        mistakes=mistakes,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Two replicates, of which one went on from its second epoch, and another configuration."""
    folder = tmp_path_factory.mktemp("runs")
    a, b, c = (folder / name / "tensorboard" for name in ("a-s0", "a-s1", "b-s0"))
    histories = {"a-s0": train(a)}
    scalars = {"histogram_freq": 0, "images": False}
    train(b, **scalars)
    histories["a-s1"] = train(b, epochs=3, first=1, **scalars)
    train(c, epochs=1, **scalars)
    pictures = np.eye(10, dtype=np.int64), sample_grid(IMAGES, LABELS, NAMES, 1, 2)
    judge(a, 0, ADAM, "config-a", 0.5, *pictures)
    judge(b, 1, ADAM, "config-a", 0.7)
    judge(c, 0, SGD, "config-b", 0.4)
    return folder, histories


@pytest.fixture(scope="module")
def server(runs: Runs) -> Iterator[str]:
    """The address of a TensorBoard, whose port was taken; ended as by Ctrl-C."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [*SERVE, "--runs-dir", str(runs[0]), "--port", str(port)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().strip()
            assert f"port {port} is taken" in process.stderr.readline()
            yield url
            process.send_signal(signal.SIGINT)
            assert (process.wait(), process.stderr.read()) == (0, "")


@pytest.fixture(scope="module")
def ask(server: str) -> Ask:
    """Ask the server, once it has read the last of the runs."""

    def ask(path: str, body: Any = None, **query: Any) -> Any:
        url = f"{server}data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    while len(ask("plugin/scalars/tags")) < 9:
        time.sleep(0.1)
    return ask


def test_metrics_have_the_names_and_steps_of_keras(ask: Ask, runs: Runs) -> None:
    history = runs[1]["a-s0"]
    for split, name, key in [
        ("train", "epoch_loss", "loss"),
        ("train", "epoch_accuracy", "accuracy"),
        ("validation", "epoch_loss", "val_loss"),
        ("validation", "epoch_accuracy", "val_accuracy"),
    ]:
        rows = ask("plugin/scalars/scalars", tag=name, run=f"a-s0/tensorboard/{split}")
        assert [step for _, step, _ in rows] == [0, 1]
        assert [value for *_, value in rows] == pytest.approx(history[key])
    rates = ask("plugin/scalars/scalars", tag="epoch_learning_rate", run="a-s0/tensorboard/train")
    assert [value for *_, value in rates] == pytest.approx([1e-3, 1e-3])


class Interrupting(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_a_program_of_keras_writes_its_epochs(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    f1 = keras.metrics.F1Score()
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, name="only")])
    network.compile("sgd", "categorical_crossentropy", metrics=[f1])
    labels = np.eye(10)[LABELS]
    board = mlplab.TensorBoard(tmp_path, histogram_freq=2)
    settings: dict[str, Any] = {"validation_split": 0.2, "verbose": 0}
    given = network, IMAGES, labels
    with pytest.raises(KeyboardInterrupt):
        mlplab.fit(*given, epochs=3, callbacks=[board, Interrupting()], **settings)
    fit = mlplab.fit(*given, initial_epoch=1, epochs=3, callbacks=[board], **settings)
    for part, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / part), {"histograms": 0}).Reload()
        found = [(event.step, event.value) for event in events.Scalars("epoch_loss")]
        assert [step for step, _ in found] == [0, 1, 2]
        assert found[1][1] == pytest.approx(fit.history[f"{prefix}loss"][0])
        assert "epoch_f1_score/9" in events.Tags()["scalars"]
        if part == "train":
            assert "epoch_learning_rate" in events.Tags()["scalars"]
            steps = [event.step for event in events.Histograms("only/kernel/histogram")]
            assert steps == [0, 2]


def test_the_layers_are_measured(ask: Ask) -> None:
    tags = ask("plugin/scalars/tags")
    assert {tag for tag in tags["a-s0/tensorboard/train"] if not tag.startswith("epoch_")} == {
        "gradient_norm/all",
        "gradient_norm/dense_1",
        "gradient_norm/output",
        "update_ratio/dense_1",
        "update_ratio/output",
        "relu_dead_share/dense_1",
        "zero_share/dense_1",
        "zero_share/output",
    }
    assert not any("/" in tag for tag in tags["b-s0/tensorboard/train"])


def test_histograms_count_every_weight_and_gradient(ask: Ask) -> None:
    assert set(ask("plugin/histograms/tags")) == {"a-s0/tensorboard/train"}
    for tag in ("dense_1/kernel/histogram", "dense_1/kernel/gradient"):
        rows = ask("plugin/histograms/histograms", tag=tag, run="a-s0/tensorboard/train")
        assert [step for _, step, _ in rows] == [0, 1]
        assert [sum(count for *_, count in buckets) for *_, buckets in rows] == [64 * 16] * 2


def test_a_training_that_is_taken_up_again_replaces_what_was_lost(ask: Ask, runs: Runs) -> None:
    rows = ask("plugin/scalars/scalars", tag="epoch_loss", run="a-s1/tensorboard/train")
    assert [step for _, step, _ in rows] == [0, 1, 2]
    assert [value for *_, value in rows[1:]] == pytest.approx(runs[1]["a-s1"]["loss"])
    # Where its fast loader is not available, TensorBoard reads with this.
    slow = EventAccumulator(str(runs[0] / "a-s1" / "tensorboard" / "train")).Reload()
    assert [event.step for event in slow.Scalars("epoch_loss")] == [0, 1, 2]


def test_pictures_and_the_recipe_are_shown(ask: Ask, server: str) -> None:
    tags = ask("plugin/images/tags")
    assert set(tags["a-s0/tensorboard/train"]) == {"samples"}
    assert set(tags["a-s0/tensorboard/results"]) == {
        "results/confusion_matrix",
        "results/confident_mistakes",
    }
    assert len(tags) == 2
    where = {"run": "a-s0/tensorboard/train", "sample": 0}
    (row,) = ask("plugin/images/images", tag="samples", **where)
    picture = f"{server}data/plugin/images/individualImage?{row['query']}"
    with urllib.request.urlopen(picture) as answer:
        assert answer.read(4) == b"\x89PNG"
    (text,) = ask("plugin/text/text", tag="recipe/text_summary", run="a-s0/tensorboard/train")
    assert "<pre><code>seed = 0" in text["text"]


def test_runs_are_compared_by_validation_and_replicates_averaged(ask: Ask) -> None:
    experiment = ask("plugin/hparams/experiment", body={"experimentName": ""})
    kinds = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert kinds == {
        "data.validation": "DATA_TYPE_STRING",
        "optimizer.name": "DATA_TYPE_STRING",
        "optimizer.learning_rate": "DATA_TYPE_FLOAT64",
        "optimizer.clipnorm": "DATA_TYPE_FLOAT64",
        "optimizer.momentum": "DATA_TYPE_FLOAT64",
        "optimizer.amsgrad": "DATA_TYPE_BOOL",
    }
    names = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert names == {"validation/accuracy", "validation/loss", "validation/tta_accuracy"}
    statuses = ["STATUS_SUCCESS"]  # a session without an end would not be among them
    request = {"experimentName": "", "allowedStatuses": statuses, "startIndex": 0, "sliceSize": 9}
    groups = ask("plugin/hparams/session_groups", body=request)["sessionGroups"]
    averages = {
        group["name"]: (len(group["sessions"]), metric["value"])
        for group in groups
        for metric in group["metricValues"]
        if metric["name"]["tag"] == "validation/accuracy"
    }
    assert averages == {"config-a": (2, pytest.approx(0.6)), "config-b": (1, pytest.approx(0.4))}


def test_a_setting_keeps_its_type_whatever_its_value() -> None:
    tables = {
        "data": {"validation": 0.1},
        "model": {"hidden": [64, 32], "normalisation": "none", "dropout": 0},
        "optimizer": {"clipnorm": None, "clipvalue": "none", "amsgrad": True},
    }
    assert dict(hyperparameters(tables)) == {
        "data.validation": "0.1",
        "model.hidden": "64, 32",
        "model.normalisation": "none",
        "model.dropout": 0.0,
        "optimizer.amsgrad": True,
    }


def kinds(schema: dict[str, Any]) -> set[str]:
    """Return ``number`` and ``string`` if a setting can be either."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts:
        return set().union(*map(kinds, parts))
    kind = "number" if schema.get("type") == "integer" else schema.get("type")
    return {kind} & {"number", "string"} if isinstance(kind, str) else set()


def test_every_setting_that_is_a_word_or_a_number_keeps_one_type() -> None:
    families = {family.__name__ for family in FAMILIES.values()}
    found = {
        ("model" if name in families else name.lower(), key)
        for name, table in Recipe.model_json_schema()["$defs"].items()
        for key, schema in table.get("properties", {}).items()
        if len(kinds(schema)) > 1
    }
    assert ("model", "trainable") in found
    for table, key in found:
        assert dict(hyperparameters({table: {key: 2}})) == {f"{table}.{key}": "2"}
    schemas = {name: TypeAdapter(kind).json_schema() for name, kind in PARAMETERS.items()}
    assert {name for name, schema in schemas.items() if len(kinds(schema)) > 1} == {"save_freq"}
    callbacks = {"callbacks": {"mine": {"save_freq": 10}}}
    assert dict(hyperparameters(callbacks)) == {"callbacks.mine.save_freq": "10"}


def test_watching_a_training_does_not_change_it(runs: Runs, tmp_path: Path) -> None:
    assert train(tmp_path) == train(None)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NEARLY_ONE = st.sampled_from([1.0, 1 + 2**-23])


@given(st.lists(FLOATS, min_size=1) | st.lists(NEARLY_ONE, min_size=1))
def test_every_finite_value_is_counted_once(values: list[float]) -> None:
    counts, edges = binned(np.array(values, np.float32))
    assert counts.sum() == len(values)
    assert edges[0] <= min(values) <= max(values) <= edges[-1]
    assert (np.diff(edges) > 0).all()


def test_values_that_are_not_finite_are_left_out_of_a_histogram(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.add_histogram("some", np.array([1, np.nan, 2, np.inf]), 0)
    events.add_histogram("none", np.array([np.nan]), 0)
    events.close()
    (file,) = tmp_path.iterdir()
    assert b"some" in file.read_bytes()
    assert b"none" not in file.read_bytes()


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    events = Events(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        events.add_scalars({f"loss_{number}": 1.0 for number in range(30)})
        with pytest.raises(StorageError, match="no space left"):
            events.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_without_events_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match="--runs-dir"):
            board.serve(folder)


def test_serving_to_others_is_warned_of(runs: Runs) -> None:
    class WarnedError(Exception):
        pass

    def warn(line: str) -> None:
        assert "0.0.0.0" in line
        raise WarnedError

    with pytest.raises(WarnedError):
        board.serve(runs[0], host="0.0.0.0", warn=warn)
