"""Commands in a queue, each in a process of its own."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlplab.errors import RunError
from mlplab.ui.jobs import Job, Queue


def wait(queue: Queue, over: Callable[[list[str]], bool]) -> list[str]:
    """Advance a queue until its jobs' states are as wanted."""
    for _ in range(600):
        queue.advance()
        states = [queue.state(job) for job in queue.jobs()]
        if over(states):
            return states
        time.sleep(0.05)
    pytest.fail(f"the jobs stay {states}")


def ended(states: list[str]) -> bool:
    return set(states) <= {"ended"}


def test_one_runs_at_a_time_in_the_order_of_asking(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for number in range(3):
        queue.add(["--version", *["-h"] * number], [], "")
    queue.add(["--version"], [], "")  # once more, before the first has ended
    queue.advance()
    assert [queue.state(job) for job in queue.jobs()] == ["running", "waiting", "waiting"]
    wait(queue, ended)
    jobs = queue.jobs()
    assert [job.code for job in jobs] == [0, 0, 0]
    assert jobs[0].started is not None
    assert sorted(jobs, key=lambda job: job.started or 0) == jobs


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(["train", "nothing-like-it"], ["a"], "train a")
    wait(queue, ended)
    facts = queue.facts(queue.jobs()[0])
    assert facts["failed"]
    assert "no recipe is called 'nothing-like-it'" in facts["said"]
    assert facts["command"] == "mlplab train nothing-like-it"


def test_another_server_finds_a_job_that_runs_and_one_that_was_killed(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(["ui", "--no-browser", "--runs-dir", str(tmp_path / "inner")], [], "lasts")
    queue.advance()
    wait(queue, lambda states: queue.jobs()[0].pid is not None)
    after = Queue(tmp_path)  # knows no process
    assert after.state(after.jobs()[0]) == "running"
    after.stop(after.jobs()[0].id)
    wait(queue, ended)
    assert after.state(after.jobs()[0]) == "ended"
    # One whose process was killed has no exit code, and holds no lock.
    killed = Job("1", ["--version"], [], "", asked=0.0, started=1.0, pid=1)
    assert after.state(killed) == "ended"


def test_a_job_that_waits_is_taken_out(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    job = queue.add(["--version"], [], "")
    queue.stop(job.id)
    assert queue.jobs() == []
    with pytest.raises(RunError, match="no such job"):
        queue.stop(job.id)
