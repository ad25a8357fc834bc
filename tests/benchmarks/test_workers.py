"""Contestants as processes, and whole commands watched from outside."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.workers import PEERS, Contestant, Worker

from benchmarks import whole

PROGRAM = """
import time
from turns import serve, settings

def epoch():
    print("what libraries print")
    time.sleep(settings()["nap"])
    return settings()["nap"]

serve(epoch, versions={"peer": "1.0"})
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "peer.py").write_text(PROGRAM)
    environ = {"PYTHONPATH": str(PEERS)}
    contestant = Contestant("a peer", str(tmp_path / "peer.py"), environ=environ)
    with (tmp_path / "log").open("w") as log:
        worker = Worker(contestant, {"nap": 0.01}, log)
        yield worker
        worker.close()


def test_a_worker_tells_its_seconds_and_its_memory(worker: Worker) -> None:
    assert worker.versions == {"peer": "1.0"}
    assert [worker.turn(), worker.turn()] == [0.01, 0.01]
    assert 1e6 < worker.last["peak_memory"] < 1e8


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_is_stopped_between_its_turns(worker: Worker) -> None:
    worker.turn()
    stat = Path(f"/proc/{worker.process.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)


def test_a_worker_that_ends_is_named(worker: Worker) -> None:
    worker.close()
    with pytest.raises((SystemExit, BrokenPipeError)):
        worker.turn()


class Polls:
    """A clock that counts how often the command was looked at, and tells the command."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 0

    def time(self) -> float:
        return float(self.count)

    def sleep(self, seconds: float) -> None:
        self.count += 1
        self.file.write_text(str(self.count))
        time.sleep(0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_whole_command_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import json, os, time

def polls():
    return int("0" + open("polls").read()) if os.path.exists("polls") else 0

def be_seen():
    first = polls()
    while polls() < first + 3:
        time.sleep(0.001)

big = bytearray(100_000_000)
be_seen()
for _ in range(2):
    with open("rows", "a") as file:
        file.write("{}\\n")
    be_seen()
print("not JSON")
print(json.dumps({"done": True}))
"""
    monkeypatch.setattr(whole, "time", Polls(tmp_path / "polls"))
    program = f"import os; os.chdir({str(tmp_path)!r})\n{code}"
    with (tmp_path / "log").open("w") as log:
        done = whole.run([sys.executable, "-c", program], {}, log, tmp_path, "rows")
    assert done.lines == [{"done": True}]
    first, second = done.rows
    assert done.begun < first < second < done.begun + done.seconds
    assert 1e8 < done.peak_memory_bytes < 1.5e8  # not that of this process


def test_a_command_that_fails_ends_the_session(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, pytest.raises(SystemExit, match="failed; see"):
        whole.run([sys.executable, "-c", "raise SystemExit(3)"], {}, log, tmp_path)
