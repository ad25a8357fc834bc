import io

from rich.console import Console

from mlplab.cli import progress
from mlplab.cli.app import Plain


def test_the_bar_fits_a_terminal_of_80_columns() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with progress.bar(100, 64, console, quiet=False) as shown:
        shown.begun -= 100.0  # type: ignore[attr-defined]
        shown.on_row({"val_accuracy": 0.5123})
        shown.on_steps(12, 391, 782, {"loss": 1.33612, "accuracy": 0.5371})
        shown.display.refresh()  # type: ignore[attr-defined]
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    line = next(part for part in shown.split("\r") if "epoch 12/100" in part).splitlines()[0]
    for words in ("loss 1.336", "acc 53.7 %", "val 51.2 %", "img/s", "left"):
        assert words in line
    assert "…" not in line


class Gone(io.StringIO):
    """A pipe whose reader has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_is_gone_ends_no_training() -> None:
    with progress.bar(9, 64, Plain(file=Gone()), quiet=False) as shown:
        shown.on_row({"epoch": 1, "loss": 0.5, "accuracy": 0.5, "seconds": 1.0})
