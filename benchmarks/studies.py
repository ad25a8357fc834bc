"""The overhead of a study compared with its training runs: python -m benchmarks.studies

Runs a study of 40 one-epoch trials on digits, with one worker per core, and compares its time with
the seconds spent in training. Also measures the memory of the parent process, which must not grow
with the number of trials. Writes benchmarks/results/studies.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlplab.experiment import environment
from mlplab.runs import store

STUDY = """
base = "quickstart"
[design]
kind = "random"
trials = {trials}
finals = 0
[recipe]
callbacks.tensorboard = "none"
callbacks.early_stopping = "none"
training.epochs = 1
[vary]
optimizer.learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
"""


def main() -> None:
    """Measure twice: with 40 trials, and with 10 to compare the memory."""
    found: dict[str, Any] = {
        "device": environment.device(),
        "command": "python -m benchmarks.studies",
    }
    for trials in (10, 40):
        found[f"{trials} trials"] = measured(trials)
    path = Path(__file__).parent / "results" / "studies.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(path.read_text())


def measured(trials: int) -> dict[str, float]:
    """Run a study in a separate process, and return its times and memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.toml"
        path.write_text(STUDY.format(trials=trials))
        program = (
            "import resource, sys; from mlplab.cli import app\n"
            "try: app(['study', 's.toml', '--quiet'])\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
        )
        wall = time.perf_counter() - begun
        records = [store.read_record(run) for run in store.folders(Path(folder, "runs/s/trials"))]
        assert len(records) == trials
        training = sum(record.seconds.train for record in records)
        workers = os.cpu_count() or 1
        return {
            "workers": workers,
            "wall_seconds": round(wall, 1),
            "training_seconds": round(training, 1),
            "overhead_seconds_a_trial": round((wall - training / workers) / trials, 2),
            "overhead_worker_seconds_a_trial": round((workers * wall - training) / trials, 2),
            "parent_megabytes": round(int(done.stderr.split()[-1]) / 1000),
        }


if __name__ == "__main__":
    main()
