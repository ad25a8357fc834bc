"""The progress bar of a training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mlplab.cli.app import note
from mlplab.live import in_words
from mlplab.report.formatting import duration


class NotesOnly:
    """Shows notes alone; a terminal or a reader that is gone ends no training."""

    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None: ...

    def on_row(self, row: dict[str, float]) -> None: ...

    def on_note(self, text: str) -> None:
        with suppress(OSError):
            note(text)


class Lines(NotesOnly):
    """Prints a line for each epoch, where there is no terminal to draw a bar on."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console = console
        self.epochs = epochs

    def on_row(self, row: dict[str, float]) -> None:
        with suppress(OSError):
            self.console.print(in_words(row, self.epochs), markup=False)


class Bar(NotesOnly):
    """A bar over the epochs, with loss, accuracy, images a second and the time left."""

    def __init__(self, display: Progress, task: TaskID, epochs: int, batch_size: int) -> None:
        self.display = display
        self.task = task
        self.epochs = epochs
        self.batch_size = batch_size
        self.begun = time.monotonic()
        self.validation = ""

    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
        passed = epoch - 1 + done / total
        seconds = time.monotonic() - self.begun
        left = seconds / passed * (self.epochs - passed)
        numbers = f"loss {logs['loss']:.3f}  acc {100 * logs['accuracy']:.1f} %"
        self.display.update(
            self.task,
            completed=passed,
            epoch=f"epoch {epoch}/{self.epochs}",
            numbers=numbers + self.validation,
            pace=f"{passed * total * self.batch_size / seconds:,.0f} img/s",
            left=f"{duration(left)} left",
        )

    def on_row(self, row: dict[str, float]) -> None:
        if "val_accuracy" in row:
            self.validation = f"  val {100 * row['val_accuracy']:.1f} %"


@contextmanager
def bar(epochs: int, batch_size: int, console: Console, quiet: bool) -> Iterator[NotesOnly]:
    """Yield what draws a bar on a terminal until the block ends, or else prints lines."""
    if quiet or not console.is_terminal:
        yield NotesOnly() if quiet else Lines(console, epochs)
        return
    columns = (
        TextColumn("{task.fields[epoch]}"),
        BarColumn(bar_width=8 if console.width < 100 else 24),
        TextColumn("{task.fields[numbers]}"),
        TextColumn("[dim]{task.fields[pace]}  {task.fields[left]}[/dim]"),
    )
    with Progress(*columns, console=console, transient=True) as display:
        task = display.add_task(
            "", total=epochs, epoch=f"epoch 1/{epochs}", numbers="compiling", pace="", left=""
        )
        yield Bar(display, task, epochs, batch_size)
