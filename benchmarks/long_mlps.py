"""What C++ gains in a long training of a plain MLP: seconds an epoch, without it and with it.

    python -m benchmarks.long_mlps --rounds 1    # writes benchmarks/results/long-mlps.*

The recipe is ``mlp-budget``, as it is and with rotation and crops, for just as many epochs as a
training has to have for C++. Each is a command of its own; medians are over its epochs.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import race, report
from mlplab.models.conversion import MANY

PIXELS = 45_000 * 32 * 32 * 3  # of an epoch
CHANGES = {
    "mlp-budget": [],
    "with rotation and crops": ["augment.rotation=10", "augment.crop_resize=0.7"],
}
WHERE = {"XLA": "0", "C++": "1"}  # MLPLAB_NATIVE


def epoch_seconds(changes: list[str], native: str, epochs: int) -> float:
    """Return the median seconds of an epoch's steps."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "mlp-budget", *changes, f"training.epochs={epochs}", "--quiet"]
        words += ["evaluation.tta_flip=false", "evaluation.tta_shift=0"]
        command = [sys.executable, "-m", "mlplab", *words, "--name", "run", "--runs-dir", folder]
        subprocess.run(command, env={**os.environ, "MLPLAB_NATIVE": native}, check=True)
        rows = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    return statistics.median(float(json.loads(row)["seconds"]) for row in rows)


def main() -> None:
    """Measure and write the page."""
    asked = race.parse(race.options(__doc__))
    epochs = -(-MANY // PIXELS)
    found: dict[str, list[float]] = {f"{what}, {where}": [] for what in CHANGES for where in WHERE}
    for _ in range(asked.rounds):
        for what, changes in CHANGES.items():
            for where, native in WHERE.items():
                found[f"{what}, {where}"].append(epoch_seconds(changes, native, epochs))
    result = {
        "question": "seconds an epoch of a long training of an MLP, in XLA and in C++",
        **report.facts(),
        "data": "CIFAR-10",
        "epochs": epochs,
        "seconds": found,
    }
    lines = [*report.heading(result), *report.columns("", "XLA, s", "C++, s", "times as fast")]
    for what in CHANGES:
        theirs, ours = (statistics.median(found[f"{what}, {where}"]) for where in WHERE)
        lines.append(report.line(what, f"{theirs:.2f}", f"{ours:.2f}", f"{theirs / ours:.2f}"))
    (asked.out / "long-mlps.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "long-mlps.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
