"""A training as it is watched from Python: curves in a notebook, lines elsewhere."""

import html
import sys
import time
from contextlib import suppress
from typing import Any

from mlplab.report.curve_svg import curves
from mlplab.report.formatting import duration, figure

REDRAWN = 0.5  # seconds between two drawings, at least

Row = dict[str, float]


def watcher(epochs: int) -> "Lines":
    """Return what shows a training: a display that updates itself in a notebook, or lines."""
    shell = notebook()
    return Lines(epochs) if shell is None else Display(epochs)


def notebook() -> Any:
    """Return IPython's shell if this process is the kernel of a notebook, or else ``None``."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


class Lines:
    """Prints a line for each epoch, and notes, on standard error.

    Args:
        epochs: of the training, at most.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
        """Show nothing: an epoch is a line."""

    def on_row(self, row: Row) -> None:
        """Print an epoch."""
        self.on_note(in_words(row, self.epochs))

    def on_note(self, text: str) -> None:
        """Print a note."""
        print(text, file=sys.stderr, flush=True)


class NoStudyProgress:
    """Shows nothing of a study."""

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        """Hear what is to be done."""

    def on_begin(self, variant: str) -> None:
        """Hear of a run that begins."""

    def on_end(self, variant: str, outcome: str, value: float | None) -> None:
        """Hear of a run that has ended."""


class StudyLines(NoStudyProgress):
    """Prints a line for each run of a study that ends, on standard error.

    Args:
        accuracy: whether values are accuracies; otherwise they are losses.
    """

    def __init__(self, accuracy: bool) -> None:
        self.accuracy = accuracy

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        """Begin to count."""
        self.phase, self.total, self.ended = phase, sum(totals.values()), sum(done.values())

    def on_end(self, variant: str, outcome: str, value: float | None) -> None:
        """Print a run."""
        self.ended += 1
        shown = "" if value is None else f"  {figure(value, self.accuracy)}"
        with suppress(OSError):  # nobody listens any more
            line = f"{self.phase} {self.ended}/{self.total}  {variant}  {outcome}{shown}"
            print(line, file=sys.stderr, flush=True)


class Display(Lines):
    """Draws curves into one output of a notebook's cell, and draws them anew as they grow.

    HTML and SVG without scripts, so that the last drawing stays in the saved notebook.

    Args:
        epochs: of the training, at most.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.handle: Any = None
        self.begun = time.monotonic()
        self.drawn = 0.0

    def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
        """Show how far it is."""
        if time.monotonic() - self.drawn < REDRAWN:
            return
        passed = epoch - 1 + done / total
        left = (time.monotonic() - self.begun) / passed * (self.epochs - passed)
        self._draw(f"epoch {epoch}/{self.epochs}, loss {logs['loss']:.3f}, {duration(left)} left")

    def on_row(self, row: Row) -> None:
        """Add an epoch to the curves."""
        self.rows.append(row)
        last = int(row["epoch"]) == self.epochs
        if last or time.monotonic() - self.drawn >= REDRAWN:
            self._draw(in_words(row, self.epochs))

    def on_note(self, text: str) -> None:
        """Show a note below the curves."""
        self.notes.append(text)
        self._draw("")

    def _draw(self, words: str) -> None:
        from IPython.display import HTML, display

        self.drawn = time.monotonic()
        parts = [html.escape(words), *(f"<i>{html.escape(text)}</i>" for text in self.notes)]
        if self.rows:
            parts.insert(0, curves({"run": self.rows}))
        drawing = HTML("<br>".join(part for part in parts if part))
        if self.handle is None:
            self.handle = display(drawing, display_id=True)
        else:
            self.handle.update(drawing)


def in_words(row: Row, epochs: int) -> str:
    """Return an epoch as a line: ``epoch 3/30  loss 0.512  acc 81.2 %  val 80.1 %  0.4 s``."""
    words = [f"epoch {row['epoch']:.0f}/{epochs}", f"loss {row['loss']:.3f}"]
    for name, key in (("acc", "accuracy"), ("val", "val_accuracy")):
        if key in row:
            words.append(f"{name} {100 * row[key]:.1f} %")
    return "  ".join([*words, duration(row["seconds"])])
