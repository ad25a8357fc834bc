"""A run folder as events: what a page that watches a training is told."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlplab import files
from mlplab.errors import RunError
from mlplab.runs import layout, store

LOCK_CHECKED = 8  # polls from one look at a run's lock to the next
SMALLEST = 10_000  # bytes of progress.json


class Event(NamedTuple):
    """One event.

    Attributes:
        kind: ``row``, ``progress``, ``layers``, ``status`` or ``gone``.
        data: JSON-able. ``gone`` has ``rows``, how many rows are left (a run that is resumed goes
            back to its checkpoint), or ``run``, true if its folder is no longer there.
        number: of a row, from 1; a page that comes back sends the last that it has.
    """

    kind: str
    data: dict[str, Any]
    number: int | None = None


def watch(
    folder: Path, after: int = 0, expected: Callable[[], bool] = lambda: False
) -> Iterator[list[Event]]:
    """Yield what is new in a run folder, whenever asked: all of it at first, then what came since.

    Args:
        folder: of the run.
        after: rows that the page has already.
        expected: whether a run that is not there is still to come.
    """
    while not (folder / layout.RECORD).exists() and expected():
        yield []
    rows, layers = _Lines(folder / layout.METRICS), _Lines(folder / layout.LAYERS)
    sent, measured = after, after
    said: dict[str, Any] | None = None
    stamp: Any = None
    progress: Any = None
    polls = 0
    while True:
        found: list[Event] = []
        if not (folder / layout.RECORD).exists():
            yield [Event("gone", {"run": True})]
            return
        rows.read()
        if len(rows.found) < sent:  # the training went back to a checkpoint
            found.append(Event("gone", {"rows": len(rows.found)}, len(rows.found)))
            sent = len(rows.found)
            measured = min(measured, sent)
        layers.read()
        for row in layers.found:
            if row.get("epoch", 0) > measured:
                found.append(Event("layers", row))
                measured = row["epoch"]
        layers.found.clear()
        for number, row in enumerate(rows.found[sent:], start=sent + 1):
            found.append(Event("row", row, number))
        sent = len(rows.found)
        now = _stamp(folder / layout.PROGRESS)
        if now is not None and now != progress and (state := _json(folder / layout.PROGRESS)):
            found.append(Event("progress", state))
        progress = now
        now = _stamp(folder / layout.RECORD)
        running = said is not None and said["status"] == "running"
        if now != stamp or (running and polls % LOCK_CHECKED == 0):
            stamp = now
            status = _status(folder)
            if status is not None and status["status"] != "running":
                # What is added afterwards, such as findings and metrics on the test split, counts.
                status["version"] = f"{stamp[0] if stamp else 0}"
            if status is not None and status != said:
                said = status
                found.append(Event("status", status))
        polls += 1
        yield found


class _Lines:
    """The JSON lines of a file that grows, and is sometimes written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[dict[str, Any]] = []
        self._at, self._file = 0, 0

    def read(self) -> None:
        """Read what came since, or everything if the file is another one or was cut."""
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._file or facts.st_size < self._at:
                    self.found, self._at, self._file = [], 0, facts.st_ino
                if facts.st_size == self._at:
                    return
                file.seek(self._at)
                text = file.read()
        except OSError:
            self.found, self._at = [], 0
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # torn by a crash; the next one begins a new line
                continue
            if isinstance(row, dict):
                self.found.append(row)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(files.text(path, SMALLEST))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _status(folder: Path) -> dict[str, Any] | None:
    try:
        record = store.read_record(folder)
    except RunError:
        return None
    return {
        "status": record.status,
        "reason": record.reason,
        "best_epoch": record.best_epoch,
        "resumed": record.resumed,
    }
