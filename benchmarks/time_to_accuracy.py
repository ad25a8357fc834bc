"""Seconds from the command to a trained network, cold, and its test accuracy.

    python -m benchmarks.time_to_accuracy --recipe mlp-fast --seeds 5
    python -m benchmarks.time_to_accuracy --recipe mlp-fast --seeds 5 --resume
    python -m benchmarks.time_to_accuracy --recipe mlp-budget --seeds 3 --cold

Cold means that nothing was compiled before. Each seed is run again with the compiled programs, and
shown separately, unless ``--cold`` is given. The times are compared with those of the published
program in ``results/published-whole.json``: run both in one session. Training is measured from the
data in memory to the trained network: building the network, compiling, steps and validation; for
the published program, its ``fit``.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import published, race, report, sessions

TARGET, SEEDS = 0.544, 5


def main() -> None:
    """Measure and write ``results/time-to-accuracy-<recipe>.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--recipe", default="mlp-fast", help="a shipped recipe, or a .toml file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="skip the runs with compiled programs")
    parser.add_argument("--resume", action="store_true", help="keep the runs already done")
    asked = race.parse(parser)
    overrides = ["training.epochs=1"] if asked.quick else []
    with tempfile.TemporaryDirectory() as warm:
        jobs = []
        for seed in range(1 if asked.quick else asked.seeds):
            jobs.append(sessions.ours(asked.recipe, seed, overrides))
            if not asked.cold:
                jobs.append(sessions.ours(asked.recipe, seed, overrides, Path(warm)))
        question = f"seconds to a trained network: {asked.recipe}"
        name = f"time-to-accuracy-{Path(asked.recipe).stem}"
        result = sessions.measure(question, name, jobs, asked)
    result["baseline"] = _baseline(asked.out)
    colours = {jobs[0].contestant: report.OURS_COLOUR}
    picture = report.bars("Time to a trained network", "seconds", _times(result), colours)
    report.write(asked.out, name, result, table(result), picture)


def _baseline(out: Path) -> list[dict[str, Any]]:
    """Return the whole fits of the published program, if they have been measured."""
    path = out / "published-whole.json"
    runs = sessions.counted(json.loads(path.read_text())) if path.exists() else []
    return [run for run in runs if run["contestant"] == published.PROGRAM]


def _times(result: dict[str, Any]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for run in sessions.counted(result):
        values.setdefault(run["contestant"], []).append(run["training_seconds"])
    if result["baseline"]:
        values[f"{published.PROGRAM}, end of its best epoch"] = [
            run["best_epoch_seconds"] for run in result["baseline"]
        ]
        values[f"{published.PROGRAM}, end"] = [run["fit_seconds"] for run in result["baseline"]]
    return values


def table(result: dict[str, Any]) -> str:
    lines = [
        *report.heading(result),
        sessions.conditions(result),
        *report.columns(
            "",
            "n",
            "training, s",
            "start to trained network, s",
            "whole command, s",
            "test",
            "each",
        ),
    ]
    runs = sessions.counted(result)
    for name in dict.fromkeys(run["contestant"] for run in runs):
        group = [run for run in runs if run["contestant"] == name]
        values = [run["test_accuracy"] for run in group]
        times = [
            report.spread([run[key] for run in group], 1)
            for key in ("training_seconds", "trained_seconds", "command_seconds")
        ]
        each = "  ".join(f"{100 * value:.1f}" for value in values)
        lines.append(report.line(name, len(group), *times, published.accuracy(values), each))
    return "\n".join([*lines, "", *_verdict(result, runs)]) + "\n"


def _verdict(result: dict[str, Any], runs: list[sessions.Run]) -> list[str]:
    """Say whether the accuracy suffices, and compare the times with the published program's."""
    cold = [run for run in runs if run["contestant"] == runs[0]["contestant"]]
    mean = statistics.mean(run["test_accuracy"] for run in cold)
    words = [f"Mean test accuracy over {len(cold)} seeds, cold: {100 * mean:.2f} %."]
    if mean < TARGET:
        words.append(f"That is under the published {100 * TARGET:.1f} %: the time does not count.")
    elif len(cold) < SEEDS:
        words.append(f"As a time to {100 * TARGET:.1f} % it counts with {SEEDS} seeds or more.")
    if result["baseline"]:
        words.append(_beside(result["baseline"], cold))
    return [" ".join(words)]


def _beside(baseline: list[dict[str, Any]], cold: list[sessions.Run]) -> str:
    def middle(runs: list[dict[str, Any]], key: str) -> float:
        return float(statistics.median(run[key] for run in runs))

    training, trained = (middle(cold, key) for key in ("training_seconds", "trained_seconds"))
    best, start, fit = (
        middle(baseline, key)
        for key in ("best_epoch_seconds", "best_epoch_from_start_seconds", "fit_seconds")
    )
    return (
        f"The published program reaches the end of its best epoch {best:.0f} s after its fit"
        f" begins: {best / training:.1f} times the training. From the start of the command it is"
        f" {start:.0f} s: {start / trained:.1f} times as long. Its whole fit takes {fit:.0f} s, of"
        f" which the training is {training / fit:.3f}."
    )


if __name__ == "__main__":
    main()
