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


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_a_job_that_is_stopped_while_it_starts_has_not_failed(
    tmp_path: Path, seconds: float
) -> None:
    queue = Queue(tmp_path)
    job = queue.add(["train", "quickstart", "--runs-dir", str(tmp_path), "--name", "a"], ["a"], "a")
    queue.advance()
    time.sleep(seconds)
    Queue(tmp_path).stop(job.id)  # another server's, which may not know of its process yet
    assert wait(queue, ended) == ["ended"]
    assert not queue.facts(queue.jobs()[0])["failed"]
    assert not (tmp_path / "a" / "metrics.jsonl").exists()


def test_damaged_files_of_jobs_are_left_out(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.add(["--version"], [], "")
    for number, text in enumerate(["{torn", "[]", '{"id": "1"}', "0"]):
        (queue.folder / f"{number}.json").write_text(text)
    own = next(path for path in queue.folder.glob("*-*.json"))
    (queue.folder / "9.json").write_text(
        own.read_text().replace('"started": null', '"started": []')
    )
    assert len(queue.jobs()) == 1
    wait(queue, ended)


def test_what_a_job_reads_is_needed_until_it_has_ended(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    job = queue.add(["train", "quickstart", f"data.path={tmp_path}/pets/inner"], ["a"], "train a")
    with pytest.raises(RunError, match="train a needs pets"):
        queue.check_unneeded(tmp_path / "pets")
    queue.check_unneeded(tmp_path / "pet")
    queue.stop(job.id)
    queue.check_unneeded(tmp_path / "pets")
