"""What a training writes into its folder while it runs: a row for each epoch, and how far it is."""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlplab import files
from mlplab.experiment.layers import Layers
from mlplab.runs import layout, store
from mlplab.runs.record import Record
from mlplab.training.plan import Progress, Row

WRITTEN = 0.25  # seconds between two versions of progress.json, at least


class EpochWriter:
    """Writes rows, record and progress of a run, and passes on what the training reports.

    Args:
        folder: of the run.
        record: of the run; it counts the epochs.
        progress: what the training reports is passed on to this.
        steps: how far the training is.
        layers: what is to be measured after each epoch, if anything.
        begin_row: called before a row is written.
    """

    def __init__(
        self,
        folder: Path,
        record: Record,
        progress: Progress,
        steps: "ProgressFile",
        layers: Layers | None,
        begin_row: Callable[[], None],
    ) -> None:
        self.folder = folder
        self.record = record
        self.progress = progress
        self.steps = steps
        self.layers = layers
        self.begin_row = begin_row
        self.on_note = progress.on_note

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
        self.steps.write(epoch, done, total, logs)
        self.progress.on_steps(epoch, done, total, logs)

    def on_row(self, row: Row) -> None:
        self.begin_row()
        if self.layers is not None:  # before the row: whoever sees that finds these
            self.layers.write(int(row["epoch"]))
        files.append_line(self.folder / layout.METRICS, files.finite(row))
        self.record.epochs = int(row["epoch"])
        store.write_record(self.folder, self.record)
        self.progress.on_row(row)


class ProgressFile:
    """``progress.json``: how far a training is, for those who watch it from another process.

    ``epoch`` (from 1) of ``epochs``, ``step`` of ``steps`` in it, the means of ``loss`` and
    ``accuracy`` so far, ``images_per_second`` and ``seconds_left``. It is written four times a
    second at most, and is gone when the training has ended.

    Args:
        folder: of the run.
        epochs: of the training.
        batch_size: images in a step.
    """

    def __init__(self, folder: Path, epochs: int, batch_size: int) -> None:
        self.path = folder / layout.PROGRESS
        self.epochs = epochs
        self.batch_size = batch_size
        self.begun: tuple[float, float] | None = None  # when, and how many epochs were done then
        self.written = -math.inf

    def write(self, epoch: int, done: int, total: int, logs: Row) -> None:
        """Write the state after ``done`` of ``total`` steps of an epoch, if the last is old."""
        now, passed = time.monotonic(), epoch - 1 + done / total
        self.begun = self.begun or (now, passed)
        if now - self.written < WRITTEN:
            return
        self.written = now
        seconds, epochs = now - self.begun[0], passed - self.begun[1]
        facts = {
            "epoch": epoch,
            "epochs": self.epochs,
            "step": done,
            "steps": total,
            **files.finite({key: logs[key] for key in ("loss", "accuracy") if key in logs}),
            # The first report is the start of the clock, as it comes after compiling.
            "images_per_second": epochs * total * self.batch_size / seconds if epochs else None,
            "seconds_left": seconds / epochs * (self.epochs - passed) if epochs else None,
        }
        # Not as other files, which wait for the disk: nothing is lost if it is.
        aside = self.path.with_name(f".{self.path.name}")
        with suppress(OSError):
            aside.write_text(json.dumps(facts), "utf-8")
            aside.replace(self.path)

    def remove(self) -> None:
        """Remove the file: the training has ended."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
