"""The pool of workers, with workers that train nothing: what becomes of jobs and processes."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlplab.errors import StorageError
from mlplab.study import pool
from mlplab.study.job import TrialJob
from mlplab.study.pool import Outcome, Row

STUB = """#!{python}
import json, os, sys
from pathlib import Path

def say(**message):
    print(json.dumps(message), flush=True)

with open("started", "a") as file:
    file.write("x")
for line in sys.stdin:
    job = json.loads(line)["job"]
    key = job["key"]
    if key == "dies" and not Path("died").exists():
        Path("died").touch()
        os._exit(9)
    if key == "crashes":
        raise SystemExit("Traceback\\nOSError: no such thing\\n")
    for epoch in (1, 2, 3):
        say(row={{"epoch": epoch}})
        if job["asks"] and not json.loads(sys.stdin.readline())["go"]:
            break
    say(done={{"fails": "out of luck", "stops": "no space"}}.get(key), stops=key == "stops")
"""


@pytest.fixture(autouse=True)
def _stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stub"
    path.write_text(STUB.format(python=sys.executable))
    path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(path))


@dataclass
class Heard:
    """What the pool says of jobs; it is told to end those of two epochs that ask."""

    started: list[str] = field(default_factory=list)
    rows: list[tuple[str, float]] = field(default_factory=list)
    ended: dict[str, Outcome] = field(default_factory=dict)

    def on_begin(self, job: TrialJob) -> None:
        self.started.append(job.key)

    def on_row(self, job: TrialJob, row: Row) -> bool:
        self.rows.append((job.key, row["epoch"]))
        return row["epoch"] < 2

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        self.ended[job.key] = outcome


def ran(*keys: str, workers: int = 1, asks: bool = False) -> Heard:
    heard = Heard()
    jobs = [TrialJob(key, "g", "runs", "quickstart", [], asks=asks) for key in keys]
    with pool.pool(workers, Path("log")) as opened:
        opened.run(jobs, heard)
    return heard


def started() -> int:
    return len(Path("started").read_text())


def test_jobs_start_once_and_what_fails_or_dies_is_tried_twice() -> None:
    heard = ran("sound", "fails", "dies", "other", workers=2)
    assert sorted(heard.started) == ["dies", "fails", "other", "sound"]
    assert heard.ended["sound"] == heard.ended["other"] == Outcome(None, 1)
    assert heard.ended["fails"] == Outcome("out of luck", 2)
    assert heard.ended["dies"] == Outcome(None, 2)
    assert started() in (2, 3)  # the dead one was replaced, if any job was left for it


def test_a_worker_that_cannot_go_on_is_quoted_and_its_output_is_logged() -> None:
    said = "its process died (exit code 1): OSError: no such thing"
    assert ran("crashes").ended["crashes"] == Outcome(said, 2)
    assert Path("log").read_text().count("no such thing") == 2


def test_a_job_that_asks_continues_while_it_may() -> None:
    assert ran("a", asks=True).rows == [("a", 1), ("a", 2)]
    assert ran("a", asks=False).rows == [("a", 1), ("a", 2), ("a", 3)]


def test_a_worker_is_replaced_after_its_share_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "JOBS_EACH", 2)
    heard = ran(*"abcde")
    assert len(heard.ended) == 5
    assert started() == 3


def test_what_is_no_fault_of_a_job_stops_them_all() -> None:
    with pytest.raises(StorageError, match="stops: no space"):
        ran("stops", "never")


def test_jobs_cross_to_workers_as_they_are() -> None:
    job = TrialJob("k", "g", "r", "q", [{"seed": 3, "x": None}], data_dir="d", asks=True)
    assert TrialJob(**json.loads(json.dumps(job.to_json()))) == job
    assert job.names == ["k-s3"]
