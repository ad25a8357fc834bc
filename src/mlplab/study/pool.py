"""Worker processes on this machine: each warm, on its own cores, and replaced regularly."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlplab import import_path
from mlplab.errors import StorageError, last_line
from mlplab.study.job import TrialJob
from mlplab.study.worker import CPUS, GRACE

JOBS_EACH = 20  # then a worker is replaced, which frees what its libraries hold on to
ATTEMPTS = 2

Row = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job.

    Attributes:
        reason: why it failed, or ``None``.
        attempts: how often it was started.
    """

    reason: str | None
    attempts: int


class Listener(Protocol):
    """Receives the events of jobs."""

    def on_begin(self, job: TrialJob) -> None:
        """A job was given to a worker."""

    def on_row(self, job: TrialJob, row: Row) -> bool:
        """An epoch has ended; return whether the job should continue."""

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        """A job has ended."""


class Executor(Protocol):
    """Executes jobs."""

    def run(self, jobs: Sequence[TrialJob], listener: Listener) -> None:
        """Execute jobs; each that fails is tried once more. Returns when all have ended."""


class Pool:
    """Workers on this machine, started when they are needed.

    Args:
        workers: maximum number.
        log: file to which their output is appended.
    """

    def __init__(self, workers: int, log: Path) -> None:
        self.log = log
        self._heard: Heard = queue.Queue()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._free = deque(_shares(workers))

    def run(self, jobs: Sequence[TrialJob], listener: Listener) -> None:
        """Execute jobs; each that fails is tried once more. Returns when all have ended.

        Raises:
            StorageError: if the disk is full, or data are missing, which is not a job's fault.
        """
        waiting = deque((job, 1) for job in jobs)
        while waiting or self._busy:
            while waiting and (self._idle or self._free):
                self._begin(*waiting.popleft(), listener)
            worker, message = self._heard.get()
            if worker in self._idle and message is None:
                self._idle.remove(worker)  # killed while idle
                self._replace(worker)
            elif worker in self._busy and message is not None and "row" in message:
                go = listener.on_row(worker.job, message["row"])
                if worker.job.asks:
                    worker.say({"go": go})
            elif worker in self._busy:
                again = self._end(worker, message, listener)
                waiting.extend(again)

    def _begin(self, job: TrialJob, attempt: int, listener: Listener) -> None:
        if self._idle:
            worker = self._idle.pop()
        else:
            worker = _Worker(self._free.popleft(), self.log, self._heard)
        self._busy.add(worker)
        if attempt == 1:
            listener.on_begin(job)
        worker.begin(job, attempt)

    def _end(
        self, worker: "_Worker", message: dict[str, Any] | None, listener: Listener
    ) -> list[tuple[TrialJob, int]]:
        """Release a worker, and return its job if that is to be tried again."""
        self._busy.remove(worker)
        reason = worker.death() if message is None else message["done"]
        if message is not None and message["stops"]:
            raise StorageError(f"{worker.job.key}: {reason}. Then repeat the command to continue")
        if message is None or worker.jobs >= JOBS_EACH:
            self._replace(worker)
        else:
            self._idle.append(worker)
        if reason is not None and worker.attempt < ATTEMPTS:
            return [(worker.job, worker.attempt + 1)]
        listener.on_end(worker.job, Outcome(reason, worker.attempt))
        return []

    def _replace(self, worker: "_Worker") -> None:
        worker.stop()
        self._free.append(worker.cpus)

    def close(self) -> None:
        """End all workers; those that train write a checkpoint first."""
        workers = (*self._idle, *self._busy)
        try:
            for worker in workers:
                worker.end_input()
            deadline = time.monotonic() + GRACE
            for worker in workers:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for worker in workers:
                worker.stop()


@contextmanager
def pool(workers: int, log: Path) -> Iterator[Pool]:
    """Yield workers on this machine, and end them with the block."""
    opened = Pool(workers, log)
    try:
        yield opened
    finally:
        opened.close()


class _Worker:
    """A process of :mod:`mlplab.study.worker`."""

    def __init__(self, cpus: list[int], log: Path, heard: "Heard") -> None:
        self.cpus = cpus
        self.log = log
        self.jobs = 0
        own = {CPUS: ",".join(map(str, cpus))} if cpus else {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlplab.study.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **import_path.environment(), **own},
            start_new_session=True,  # Ctrl-C is for the study, which ends them
        )
        self.printed = ""  # the last line of its output
        self._printing = threading.Thread(target=self._keep, daemon=True)
        self._printing.start()
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _keep(self) -> None:
        """Append what it prints on stderr to the log."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log(line)

    def _log(self, line: str) -> None:
        self.printed = line.strip() or self.printed
        # On a full disk it is lost; a pipe that nobody reads would block the worker.
        with suppress(OSError), self.log.open("a", encoding="utf-8") as file:
            file.write(line)

    def _listen(self, heard: "Heard") -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                message = _message(line)
                if message is not None:
                    heard.put((self, message))
                elif line.strip():
                    self._log(line)
        finally:
            heard.put((self, None))

    def begin(self, job: TrialJob, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        self.jobs += 1
        self.say({"job": job.to_json()})

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the listener notices that it is dead
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def death(self) -> str:
        """Return what ended the process, with the last line that it printed."""
        code = self.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._printing.join(timeout=1.0)  # or a process that it has started still prints
        return f"its process died ({how})" + f": {last_line(self.printed)}" * bool(self.printed)

    def end_input(self) -> None:
        """Close the worker's input, on which it ends by itself."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.end_input()


def _message(line: str) -> dict[str, Any] | None:
    """Return a worker's message, or ``None`` for a line that other code in its process printed."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and ("row" in found or {"done", "stops"} <= found.keys())
    return found if known else None


Heard = queue.Queue[tuple[_Worker, dict[str, Any] | None]]


def _shares(workers: int) -> list[list[int]]:
    """Return the processor's cores, divided; empty shares if the system does not report them."""
    if not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(workers)]
    cores = sorted(os.sched_getaffinity(0))
    return [cores[number::workers] or [cores[number % len(cores)]] for number in range(workers)]
