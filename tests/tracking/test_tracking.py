"""Trackers: what does not need one, and then the real ones, where they are installed."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import train

import mlplab
from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.experiment import population, resume
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run
from mlplab.tracking import callback, trackers
from mlplab.tracking.messenger import Messenger
from mlplab.training.plan import NoProgress


def tracked(service: str, **keys: Any) -> Recipe:
    track = {"name": "Track", "to": service, "project": "digits", **keys}
    return mlplab.recipe(
        "quickstart",
        model={"hidden": [8]},
        training={"epochs": 3},
        callbacks={"tensorboard": "none", "early_stopping": "none", "track": track},
    )


class Notes(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_note(self, text: str) -> None:
        self.said.append(text)


class Stop(NoProgress):
    """Fails when an epoch has ended."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_row(self, row: dict[str, float]) -> None:
        if row["epoch"] == self.epoch:
            raise RuntimeError("stopped on purpose")


def test_a_tracker_is_no_part_of_a_configuration() -> None:
    plain = mlplab.recipe("quickstart", callbacks={"tensorboard": "none"})
    told = mlplab.recipe(
        "quickstart", callbacks={"tensorboard": "none", "t": {"name": "track", "to": "mlflow"}}
    )
    assert recipes.config_id(told) == recipes.config_id(plain)
    bare: dict[str, Any] = {"callbacks": {"tensorboard": "none", "early_stopping": "none"}}
    assert recipes.config_id(tracked("wandb")) == recipes.config_id(
        mlplab.recipe("quickstart", model={"hidden": [8]}, training={"epochs": 3}, **bare)
    )


def test_a_package_that_is_missing_is_named_with_its_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"callbacks\.track\.to.*pip install 'mlplab\[mlflow\]'"):
        complete(tracked("mlflow"))


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"callbacks\.track\.to.*'mlflow', 'wandb' or 'trackio'"):
        complete(tracked("comet"))


def test_messages_are_passed_on_in_order_until_one_fails() -> None:
    messenger, told = Messenger("test"), list[int]()
    for number in range(3):
        messenger.send(lambda number=number: told.append(number))  # type: ignore[misc]
    messenger.send(lambda: [][1])
    messenger.send(lambda: told.append(3))
    assert messenger.finish(10)
    assert told == [0, 1, 2]
    assert isinstance(messenger.error, IndexError)


def test_a_message_that_takes_too_long_is_not_waited_for() -> None:
    messenger, released = Messenger("test"), threading.Event()
    messenger.send(lambda: released.wait(60))
    assert not messenger.finish(0.05)
    released.set()


def test_errors_are_told_without_secrets() -> None:
    error = RuntimeError("no answer from http://me:secret@host/?write_token=abc&x=1")
    assert trackers.reason(error) == "no answer from http://…host/?write_token=…&x=1"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a real server, to which runs are reported."""
    pytest.importorskip("mlflow")
    if importlib.util.find_spec("mlflow.server") is None:
        pytest.skip("mlflow-skinny has no server")
    folder, address = tmp_path_factory.mktemp("mlflow"), f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
    command += ["--port", address.rpartition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db"]
    command += ["--artifacts-destination", str(folder)]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True
        )
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**quiet, "MLFLOW_TRACKING_URI": address}.items():
            patch.setenv(key, value)
        try:
            answers(f"{address}/health")
            from mlflow.tracking import MlflowClient

            yield MlflowClient(address)
        finally:
            os.killpg(server.pid, 15)
            server.wait(20)


def answers(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server does not start")


def at_mlflow(client: Any, name: str) -> Any:
    (experiment,) = [x for x in client.search_experiments() if x.name == "digits"]
    (run,) = client.search_runs([experiment.experiment_id], f"run_name = '{name}'")
    return run


def test_mlflow_has_settings_rows_and_results_of_a_run(mlflow_server: Any, tmp_path: Path) -> None:
    run = train(tracked("mlflow"), tmp_path, "one")
    found = at_mlflow(mlflow_server, "one")
    assert found.info.status == "FINISHED"
    assert found.data.tags["config_id"] == run.record.config_id
    assert found.data.tags["seed"] == "0"
    assert found.data.params["model.hidden"] == "[8]"
    history = mlflow_server.get_metric_history(found.info.run_id, "val_loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert [point.value for point in history] == [row["val_loss"] for row in run.history]
    assert found.data.metrics["test/accuracy"] == run.metrics["test"]["accuracy"]
    assert "tracking/mlflow.json" in run.record.files


def test_mlflow_continues_a_run_that_is_resumed(mlflow_server: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(tracked("mlflow"), tmp_path, "again", Stop(2))
    assert at_mlflow(mlflow_server, "again").data.tags["status"] == "failed"
    run = resume.resume(Run(tmp_path / "again"), Options(test=True))
    found = at_mlflow(mlflow_server, "again")
    assert (found.info.status, found.data.tags["status"]) == ("FINISHED", "finished")
    history = mlflow_server.get_metric_history(found.info.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert found.data.metrics["test/accuracy"] == run.metrics["test"]["accuracy"]


def test_mlflow_has_a_run_for_each_member_of_a_population(
    mlflow_server: Any, tmp_path: Path
) -> None:
    members = [tracked("mlflow").model_copy(update={"seed": seed}) for seed in (0, 1)]
    population.run(members, Options(runs_dir=tmp_path, name="many", keep="results"))
    for seed in (0, 1):
        found = at_mlflow(mlflow_server, f"many-s{seed}")
        assert (found.info.status, found.data.tags["seed"]) == ("FINISHED", str(seed))


def test_a_server_that_is_down_costs_a_note_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{free_port()}")
    monkeypatch.setattr(callback, "PATIENCE", 1.0)
    notes = Notes()
    run = train(tracked("mlflow"), tmp_path, "alone", notes)
    assert run.record.status == "finished"
    (said,) = [text for text in notes.said if "mlflow" in text]
    assert "secret" not in said
    assert "secret" not in (run.folder / "record.json").read_text()


PROGRAM = """
import sys
from pathlib import Path
from tests.helpers import train
from tests.tracking.test_tracking import tracked
train(tracked(sys.argv[1]), Path(sys.argv[2]), "run")
"""
READ = """
import json
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps(SQLiteStorage.get_logs("digits", "run")))
"""


def in_a_process(code: str, *words: str, **variables: str) -> str:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "src")])
    known = {**os.environ, "PYTHONPATH": path, **variables}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trackio_has_the_rows_and_results_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    known = {"TRACKIO_DIR": str(tmp_path / "trackio")}
    assert in_a_process(PROGRAM, "trackio", str(tmp_path), **known) == ""
    run = Run(tmp_path / "run")
    logs = json.loads(in_a_process(READ, **known))
    rows = [row for row in logs if "val_loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["val_loss"] for row in rows] == [row["val_loss"] for row in run.history]
    assert logs[-1]["status"] == "finished"
    assert logs[-1]["test/accuracy"] == run.metrics["test"]["accuracy"]


def test_wandb_keeps_a_run_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    known = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    assert in_a_process(PROGRAM, "wandb", str(tmp_path), **known) == ""
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    known_id = json.loads((tmp_path / "run" / "tracking" / "wandb.json").read_text())
    assert folder.name.endswith(known_id["id"])
    assert known_id["epochs"] == 3
