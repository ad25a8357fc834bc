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
    for _ in range(100):
        state = stat.read_text().rpartition(")")[2].split()[0]
        if state == "T":
            return
        time.sleep(0.05)
    pytest.fail(f"its state is {state}")


def test_a_worker_that_ends_is_named(worker: Worker) -> None:
    worker.close()
    with pytest.raises((SystemExit, BrokenPipeError)):
        worker.turn()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_whole_command_is_watched(tmp_path: Path) -> None:
    code = """
import json, time
big = bytearray(100_000_000)
for _ in range(2):
    time.sleep(0.2)
    with open("rows", "a") as file:
        file.write("{}\\n")
time.sleep(0.2)
print("not JSON")
print(json.dumps({"done": True}))
"""
    program = f"import os; os.chdir({str(tmp_path)!r})\n{code}"
    with (tmp_path / "log").open("w") as log:
        done = whole.run([sys.executable, "-c", program], {}, log, tmp_path, "rows")
    assert done.lines == [{"done": True}]
    assert 0.6 < done.seconds < 30
    assert len(done.rows) == 2
    assert done.rows[1] - done.rows[0] > 0.1
    assert 1e8 < done.peak_memory_bytes < 1.5e8  # not that of this process


def test_a_command_that_fails_ends_the_session(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, pytest.raises(SystemExit, match="failed; see"):
        whole.run([sys.executable, "-c", "raise SystemExit(3)"], {}, log, tmp_path)
