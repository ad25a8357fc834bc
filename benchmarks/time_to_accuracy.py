"""Seconds from the command to a trained network, cold, and the test accuracy that it has.

    python -m benchmarks.time_to_accuracy --recipe mlp-fast --seeds 5
    python -m benchmarks.time_to_accuracy --recipe mlp-fast --seeds 5 --resume

Cold is with nothing compiled before; each seed is run again with what was compiled, apart. The time
counts if the mean test accuracy is at least 54.4 %. It stands beside the published program's time
to the end of its best epoch, of ``results/published-whole.json``: run both in one sitting.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import published, race, report, sittings

TARGET = 0.544


def main() -> None:
    """Measure, and write ``results/time-to-accuracy.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--recipe", default="mlp-fast", help="a shipped name, or a .toml file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resume", action="store_true", help="keep the runs that are done")
    asked = race.parse(parser)
    overrides = ["training.epochs=1"] if asked.quick else []
    with tempfile.TemporaryDirectory() as warm:
        jobs = []
        for seed in range(1 if asked.quick else asked.seeds):
            jobs.append(sittings.ours(asked.recipe, seed, overrides))
            jobs.append(sittings.ours(asked.recipe, seed, overrides, Path(warm)))
        question = f"seconds to a trained network: {asked.recipe}"
        result = sittings.sit(question, "time-to-accuracy", jobs, asked)
    result["baseline"] = _baseline(asked.out)
    colours = {jobs[0].contestant: report.OURS_COLOUR}
    picture = report.bars("Time to a trained network", "seconds", _times(result), colours)
    report.write(asked.out, "time-to-accuracy", result, table(result), picture)


def _baseline(out: Path) -> list[dict[str, Any]]:
    """Return the whole fits of the published program, where they have been measured."""
    path = out / "published-whole.json"
    runs = sittings.counted(json.loads(path.read_text())) if path.exists() else []
    return [run for run in runs if run["contestant"] == published.PROGRAM]


def _times(result: dict[str, Any]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for run in sittings.counted(result):
        values.setdefault(run["contestant"], []).append(run["trained_seconds"])
    if result["baseline"]:
        values[f"{published.PROGRAM}, end of its best epoch"] = [
            run["best_epoch_from_start_seconds"] for run in result["baseline"]
        ]
        values[f"{published.PROGRAM}, end"] = [run["command_seconds"] for run in result["baseline"]]
    return values


def table(result: dict[str, Any]) -> str:
    lines = [
        *report.heading(result),
        sittings.conditions(result),
        *report.columns("", "n", "start to trained network, s", "whole command, s", "test", "each"),
    ]
    runs = sittings.counted(result)
    for name in dict.fromkeys(run["contestant"] for run in runs):
        group = [run for run in runs if run["contestant"] == name]
        values = [run["test_accuracy"] for run in group]
        lines.append(
            report.line(
                name,
                len(group),
                report.spread([run["trained_seconds"] for run in group], 1),
                report.spread([run["command_seconds"] for run in group], 1),
                published.accuracy(values),
                "  ".join(f"{100 * value:.1f}" for value in values),
            )
        )
    return "\n".join([*lines, "", *_verdict(result, runs)]) + "\n"


def _verdict(result: dict[str, Any], runs: list[sittings.Run]) -> list[str]:
    cold = [run for run in runs if run["contestant"] == runs[0]["contestant"]]
    mean = statistics.mean(run["test_accuracy"] for run in cold)
    counts = mean >= TARGET and len(cold) >= 5
    lines = [
        f"The mean of {100 * mean:.2f} % over {len(cold)} seeds"
        f" {'counts' if counts else 'does not count'}: at least {100 * TARGET:.1f} % over at least"
        " 5 seeds is asked."
    ]
    if result["baseline"]:
        own = statistics.median(run["trained_seconds"] for run in cold)
        keys = ("best_epoch_seconds", "best_epoch_from_start_seconds", "fit_seconds")
        best, start, fit = (
            statistics.median(run[key] for run in result["baseline"]) for key in keys
        )
        lines.append(
            f"The published program reaches the end of its best epoch {best:.0f} s after its fit"
            f" begins ({start:.0f} s after its command), and the end of its fit after {fit:.0f} s:"
            f" {best / own:.1f} ({start / own:.1f}) and {fit / own:.1f} times as long."
        )
    return lines


if __name__ == "__main__":
    main()
