"""Peak memory of whole programs over a few epochs, as they stand.

    python -m benchmarks.memory

Compares the peak resident memory (VmHWM) of ``mlplab train published`` and of the published program
with Keras/TensorFlow, both with their callbacks, their evaluation and everything that they write.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import inputs, race, report, whole
from benchmarks.published import KERAS

OURS = "mlplab train published"


def main() -> None:
    """Measure and write ``results/memory.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    asked = race.parse(parser)
    asked.epochs = 1 if asked.quick else asked.epochs
    peaks: dict[str, list[float]] = {OURS: [], KERAS.name: []}
    with ExitStack() as stack:
        log = stack.enter_context((asked.out / "peers.log").open("w"))
        for _ in range(asked.rounds):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            source = inputs.write(folder)
            told = {"data": str(folder), "scratch": str(folder / "logs"), "epochs": asked.epochs}
            runs = [
                "--runs-dir",
                str(folder / "runs"),
                "--quiet",
                f"training.epochs={asked.epochs}",
            ]
            commands = {
                OURS: [sys.executable, "-m", "mlplab", "train", "published", *runs],
                KERAS.name: KERAS.command(told),
            }
            for name, command in commands.items():
                done = whole.run(command, KERAS.environ if name == KERAS.name else {}, log, folder)
                peaks[name].append(done.peak_memory_bytes / 1e6)
                print(f"{name}: {peaks[name][-1]:,.0f} MB in {done.seconds:.0f} s", flush=True)
    result = {
        "question": f"peak memory of the whole program in MB, {asked.epochs} epochs as it stands",
        **report.facts(),
        "data": source,
        "ours": OURS,
        "contestants": {name: {"megabytes": values} for name, values in peaks.items()},
    }
    picture = report.bars("Peak memory of the program", "MB", peaks, {OURS: report.OURS_COLOUR})
    report.write(asked.out, "memory", result, _table(result), picture)


def _table(result: dict[str, Any]) -> str:
    rows = {name: row["megabytes"] for name, row in result["contestants"].items()}
    lines = [*report.heading(result), *report.columns("", "MB", f"over that of {OURS}")]
    for name, values in rows.items():
        over = [value / own for value, own in zip(values, rows[OURS], strict=True)]
        ratio = "1" if name == OURS else report.spread(over)
        lines.append(report.line(name, report.spread(values, 0), ratio))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
