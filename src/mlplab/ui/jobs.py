"""The queue: commands that pages have asked for, each in a process of its own.

A job is a file in ``<runs>/.queue``. Jobs go on when the server ends, and the next server finds
them there: those that live hold their locks.
"""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from mlplab import files
from mlplab.errors import RunError

QUEUE = ".queue"
KEPT = 100  # ended jobs
STARTING = 20.0  # seconds until a process that was started holds its lock, at most
LOG = 4000  # characters of what a command has said


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        id: its number in the order of asking.
        words: the command line without ``mlplab``.
        runs: names of the runs that it makes or continues.
        title: for people.
        asked: seconds since 1970.
        started: likewise, or ``None`` while it waits.
        pid: of its process, or ``None`` before that has begun.
        stopped: whether it was asked to stop.
        code: the command's exit code, or ``None`` before it has ended.
        ended: when that was, likewise.
    """

    id: str
    words: list[str]
    runs: list[str]
    title: str
    asked: float
    started: float | None = None
    pid: int | None = None
    stopped: bool = False
    code: int | None = None
    ended: float | None = None


JOB = TypeAdapter(Job)


class Queue:
    """The jobs of a runs folder.

    Args:
        runs_dir: the folder.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.folder = runs_dir / QUEUE
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._interrupted: set[int] = set()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let nobody else change the queue: no other thread, and no other server.

        Raises:
            StorageError: if the folder cannot be written.
        """
        lock = FileLock(self.folder / ".changing", is_singleton=False)
        with files.storage(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def add(self, words: Sequence[str], runs: Sequence[str], title: str) -> Job:
        """Append a command; one that waits or runs already is not appended again.

        Raises:
            StorageError: if the folder cannot be written.
        """
        with self.changing():
            return self.append(words, runs, title)

    def append(self, words: Sequence[str], runs: Sequence[str], title: str) -> Job:
        """Append a command as :meth:`add` does, while :meth:`changing` is held."""
        for job in self.jobs():
            if job.words == list(words) and self.state(job) != "ended":
                return job  # the second half of a double click
        number = f"{time.time_ns():020d}-{secrets.token_hex(2)}"
        job = Job(number, list(words), list(runs), title, time.time())
        self._write(job)
        return job

    def jobs(self) -> list[Job]:
        """Return all jobs, the first first."""
        found = (self._read(path) for path in sorted(self.folder.glob("*.json")))
        return [job for job in found if job is not None]

    def state(self, job: Job) -> str:
        """Return ``waiting``, ``running`` or ``ended``."""
        if job.started is None:
            return "waiting"
        process = self._processes.get(job.id)
        if process is not None:
            return "running" if process.poll() is None else "ended"
        if job.code is not None:
            return "ended"
        starting = job.pid is None and time.time() - job.started < STARTING
        return "running" if starting or self._is_held(job) else "ended"

    def expects(self, run: str) -> bool:
        """Return whether a job that has not ended makes or continues a run."""
        return any(run in job.runs and self.state(job) != "ended" for job in self.jobs())

    def check_unneeded(self, path: Path) -> None:
        """Check that no job that has not ended reads a folder.

        Raises:
            RunError: if one does.
        """
        part = f"{path}{os.sep}"
        for job in self.jobs():
            needed = any(part in f"{word}{os.sep}" for word in job.words)
            if needed and self.state(job) != "ended":
                raise RunError(
                    f"{job.title} needs {path.name}: wait for it, or remove it from the queue"
                )

    def facts(self, job: Job) -> dict[str, Any]:
        """Return what a page shows of a job."""
        state = self.state(job)
        failed = state == "ended" and job.code not in (0, 130) and not job.stopped
        command = shlex.join(["mlplab", *job.words])
        facts = asdict(job) | {"state": state, "command": command, "failed": failed}
        return facts | ({"said": self.said(job)} if failed else {})

    def said(self, job: Job) -> str:
        """Return the end of what a command has printed."""
        try:
            return self._path(job.id, ".log").read_text("utf-8", "replace")[-LOG:].strip()
        except OSError:
            return ""

    def advance(self) -> None:
        """Start what may start, and forget what ended long ago; called a few times a second."""
        if not self.folder.is_dir():
            return
        with self.changing():
            self._advance()

    def _advance(self) -> None:
        jobs = self.jobs()
        states = {job.id: self.state(job) for job in jobs}
        if "running" not in states.values():
            waiting = next((job for job in jobs if states[job.id] == "waiting"), None)
            if waiting is not None:
                self._start(waiting)
        ended = [job for job in jobs if states[job.id] == "ended"]
        for job in ended[: max(0, len(ended) - KEPT)]:
            self._forget(job)

    def stop(self, number: str) -> None:
        """Stop a job as Ctrl-C does, or take it out of the queue if it waits.

        Raises:
            RunError: if there is no such job.
        """
        with self.changing():
            job = next((job for job in self.jobs() if job.id == number), None)
            if job is None:
                raise RunError("there is no such job")
            state = self.state(job)
            if state == "waiting":
                self._forget(job)
            elif state == "running":
                self._write(Job(**asdict(job) | {"stopped": True}))
                if job.pid is not None:  # otherwise it sees that when it begins
                    self.interrupt(job.pid)

    def interrupt(self, pid: int) -> None:
        """Interrupt a process as Ctrl-C does, once: a second one would end it at once.

        Raises:
            RunError: if it is no longer there, or another user's.
        """
        if pid in self._interrupted:
            return
        try:
            windows = sys.platform == "win32"
            os.kill(pid, signal.CTRL_BREAK_EVENT if windows else signal.SIGINT)  # type: ignore[attr-defined, unused-ignore]
        except OSError as error:
            raise RunError(f"process {pid} cannot be stopped: {error.strerror}") from None
        self._interrupted.add(pid)

    def _start(self, job: Job) -> None:
        self._write(Job(**asdict(job) | {"started": time.time()}))
        # A group of its own: a signal to the server's does not reach it.
        group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with self._path(job.id, ".log").open("wb") as log:
            self._processes[job.id] = subprocess.Popen(
                [sys.executable, "-m", "mlplab.ui.job", str(self._path(job.id).resolve())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **group,
            )

    def _forget(self, job: Job) -> None:
        self._processes.pop(job.id, None)
        for ending in (".json", ".log", ".lock"):
            self._path(job.id, ending).unlink(missing_ok=True)

    def _is_held(self, job: Job) -> bool:
        path = self._path(job.id, ".lock")
        if not path.exists():
            return False
        lock = FileLock(path, is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False

    def _path(self, number: str, ending: str = ".json") -> Path:
        return self.folder / f"{number}{ending}"

    def _write(self, job: Job) -> None:
        files.write_text(self._path(job.id), json.dumps(asdict(job)))

    def _read(self, path: Path) -> Job | None:
        try:
            return JOB.validate_json(path.read_bytes())
        except (OSError, ValueError):
            return None  # damaged, or taken out by now
