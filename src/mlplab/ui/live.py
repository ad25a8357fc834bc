"""A run folder as events: what a page that watches a training is told."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlplab import files
from mlplab.errors import RunError
from mlplab.runs import layout, store

LOCK_CHECKED = 8  # refreshes from one look at a run's lock to the next
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


class State:
    """What is in a run folder, read anew only where it has changed.

    Args:
        folder: of the run.

    Attributes:
        there: whether it has a record.
        rows: of its epochs.
        layers: what was measured of its layers, in the order of the epochs.
        progress: how far its training is, or was last.
        status: what pages are told of its record, or ``None`` before that was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.there = False
        self.progress: dict[str, Any] | None = None
        self.status: dict[str, Any] | None = None
        self._rows = _Lines(folder / layout.METRICS, _is_row)
        self._layers = _Lines(folder / layout.LAYERS, _is_of_layers)
        self._progress: Any = None
        self._record: Any = None
        self._reads = 0
        self._turn = threading.Lock()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self._rows.found

    @property
    def layers(self) -> list[dict[str, Any]]:
        return self._layers.found

    def refresh(self) -> None:
        """Read what has changed."""
        with self._turn:  # several pages may begin to watch at once
            self._refresh()

    def _refresh(self) -> None:
        record = _stamp(self.folder / layout.RECORD)
        self.there = record is not None
        if record is None:
            return
        self._rows.read()
        self._layers.read()
        progress = _stamp(self.folder / layout.PROGRESS)
        if progress is not None and progress != self._progress:
            self.progress = _json(self.folder / layout.PROGRESS) or self.progress
        self._progress = progress
        running = self.status is not None and self.status["status"] == "running"
        if record != self._record or (running and self._reads % LOCK_CHECKED == 0):
            self._record = record
            self.status = _status(self.folder, record[0])
        self._reads += 1


def news(
    state: State, after: int = 0, expected: Callable[[], bool] = lambda: False
) -> Iterator[list[Event]]:
    """Yield what is new in a state, whenever asked: all of it at first, then what came since.

    Several pages may share a state, which somebody refreshes.

    Args:
        state: of a run folder.
        after: rows that the page has already.
        expected: whether a run that is not there is still to come.
    """
    while not state.there and expected():
        yield []
    sent = measured = after
    place = 0  # among the layers
    progress = status = None
    while state.there:
        found: list[Event] = []
        rows, layers = state.rows, state.layers
        if len(rows) < sent:  # the training went back to a checkpoint
            found.append(Event("gone", {"rows": len(rows)}, len(rows)))
            sent = len(rows)
            measured = min(measured, sent)
        place = place if place <= len(layers) else 0
        for row in layers[place:]:
            if row["epoch"] > measured:
                found.append(Event("layers", row))
                measured = row["epoch"]
        place = len(layers)
        for number, row in enumerate(rows[sent:], start=sent + 1):
            found.append(Event("row", row, number))
        sent = len(rows)
        if state.progress is not progress and state.progress is not None:
            progress = state.progress
            found.append(Event("progress", progress))
        if state.status != status and state.status is not None:
            status = state.status
            found.append(Event("status", status))
        yield found
    yield [Event("gone", {"run": True})]


class _Lines:
    """The JSON lines of a file that grows, and is sometimes written anew."""

    def __init__(self, path: Path, fits: Callable[[dict[str, Any]], bool]) -> None:
        self.path = path
        self.fits = fits  # others were damaged, and are left out
        self.found: list[dict[str, Any]] = []
        self._at, self._file = 0, 0

    def read(self) -> None:
        """Read what came since, or everything if the file is another one or was cut."""
        found, at = self.found, self._at
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._file or facts.st_size < at:
                    found, at, self._file = [], 0, facts.st_ino
                elif facts.st_size == at:
                    return
                file.seek(at)
                text = file.read()
        except OSError:
            self.found, self._at = [], 0
            return
        whole = text[: text.rfind(b"\n") + 1]
        # A list of its own: another thread may be telling of the one before.
        self.found = [*found, *filter(self.fits, _objects(whole))]
        self._at = at + len(whole)


def _objects(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # torn by a crash; the next one begins a new line
            continue
        if isinstance(row, dict):
            yield row


def _is_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("epoch"), int)


def _is_of_layers(row: dict[str, Any]) -> bool:
    layers = row.get("layers")
    return _is_row(row) and isinstance(layers, list) and all(isinstance(x, dict) for x in layers)


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


def _status(folder: Path, version: int) -> dict[str, Any]:
    """Return what pages are told of a record; the version tells them to ask for all of it."""
    try:
        record = store.read_record(folder)
    except RunError as error:
        return {"status": "damaged", "reason": str(error)}
    facts = {
        "status": record.status,
        "reason": record.reason,
        "best_epoch": record.best_epoch,
        "resumed": record.resumed,
    }
    # While a run is trained, its record is written after every epoch, of which the rows tell.
    return facts if record.status == "running" else facts | {"version": str(version)}
