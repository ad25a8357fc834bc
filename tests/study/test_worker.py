"""A worker of a study: what it imports, what other code prints and reads in it, how it ends."""

import json
import queue
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlplab.study import pool
from mlplab.study.job import TrialJob
from mlplab.study.pool import Outcome, Row

PRINTING = r"""#!{python}
import json, os, sys
job = json.loads(sys.stdin.readline())["job"]
print("hello")
print(json.dumps([1]), json.dumps({{}}), sep="\n")
print("{{}}\n" + "[" * 100_000, flush=True)
os.write(1, b"\xff\xfe not text\n")
os.write(1, b"half a line")
print("\n" + json.dumps({{"row": {{"epoch": 1}}}}), flush=True)
print(json.dumps({{"done": None, "stops": False}}), flush=True)
"""


@dataclass
class Heard:
    rows: list[Row] = field(default_factory=list)
    ended: list[Outcome] = field(default_factory=list)

    def on_begin(self, job: TrialJob) -> None: ...

    def on_row(self, job: TrialJob, row: Row) -> bool:
        self.rows.append(row)
        return True

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        self.ended.append(outcome)


def ran(folder: Path, job: TrialJob) -> Heard:
    heard = Heard()
    with pool.pool(1, folder / "log") as opened:
        opened.run([job], heard)
    return heard


def test_a_study_goes_on_whatever_a_worker_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub").write_text(PRINTING.format(python=sys.executable))
    (tmp_path / "stub").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "stub"))
    heard = ran(tmp_path, TrialJob("k", "g", "runs", "quickstart", []))
    assert heard.rows == [{"epoch": 1}]
    assert heard.ended == [Outcome(None, 1)]
    assert "hello" in (tmp_path / "log").read_text("utf-8", "replace")


def test_workers_import_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("csv", "keras", "random"):
        (tmp_path / f"{name}.py").write_text("print('hello')\nopen('imported', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    heard = ran(tmp_path, TrialJob("k", "g", str(tmp_path / "runs"), "quickstart", [{"x": 1}]))
    assert "x" in (heard.ended[0].reason or "")  # the recipe is wrong, which it could only say
    assert not (tmp_path / "imported").exists()


def test_other_lines_are_no_messages() -> None:
    assert pool._message('{"row": {"loss": NaN}}') is not None
    assert pool._message(json.dumps({"done": None, "stops": False})) is not None
    for line in ("", "1", "[]", "{}", '{"done": null}', "{", "[" * 100_000):
        assert pool._message(line) is None


def test_the_end_of_a_worker_is_heard_even_if_its_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stub").write_text(f"#!{sys.executable}\nprint('hello')\n")
    (tmp_path / "stub").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "stub"))
    heard: pool.Heard = queue.Queue()
    worker = pool._Worker([], tmp_path / "log", heard)
    worker.log = tmp_path / "no" / "log"
    assert heard.get(timeout=30) == (worker, None)
    worker.stop()
