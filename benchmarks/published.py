"""The published program as it stands, against ``mlplab train published`` as it stands.

    python -m benchmarks.published --rounds 5      # seconds per epoch
    python -m benchmarks.published --whole         # whole fits: times and accuracies, 3 seeds each
    python -m benchmarks.published --whole --resume
    python -m benchmarks.published --two-lines     # whole fits with mlplab.fit for model.fit

"As it stands" means with TensorBoard histograms every epoch and validation on the test split. The
published program is Keras on TensorFlow. Whole fits are stopped by EarlyStopping. Each runs in a
separate process and is written to ``results/published-whole.json`` when it ends, so an interrupted
session can be resumed.
"""

import argparse
import json
import statistics
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from benchmarks import race, report, sessions
from benchmarks.workers import JAX, TENSORFLOW, Contestant
from benchmarks.workers import OURS as OWN

OURS = "mlplab train published"
PROGRAM, MODULE = "published program, Keras/TensorFlow", "published.py"
KERAS = Contestant(PROGRAM, MODULE, "keras-tensorflow", environ=TENSORFLOW)
WITH_JAX = "published program, Keras/JAX, without TensorBoard"
KERAS_JAX = Contestant(WITH_JAX, MODULE, "keras-jax", environ=JAX)
TWO_LINES = Contestant(
    "published program, two lines changed", MODULE, OWN, settings={"fit": "mlplab"}, environ=JAX
)


def main() -> None:
    """Run the race and write ``results/published-epochs.*`` or ``results/published-whole.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--whole", action="store_true", help="measure whole fits instead of epochs")
    parser.add_argument("--two-lines", action="store_true", help="measure the changed program")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds for whole fits")
    parser.add_argument("--resume", action="store_true", help="keep the whole fits already done")
    parser.add_argument("--jax", action="store_true", help="also measure whole fits of Keras/JAX")
    asked = race.parse(parser)
    if asked.whole:
        _whole(asked)
    elif asked.two_lines:
        _two_lines(asked)
    else:
        _epochs(asked)


def _epochs(asked: argparse.Namespace) -> None:
    turns = {"until": "turns"}
    contestants = [
        Contestant(OURS, "mlplab_train.py", settings=turns),
        replace(KERAS, settings=turns),
    ]
    question = "seconds an epoch: the published program as it stands"
    result = race.run(question, contestants, OURS, asked, stand_in=False)
    name = "published-epochs"
    report.write(asked.out, name, result, race.table(result), race.picture(result))


def _whole(asked: argparse.Namespace) -> None:
    epochs = 2 if asked.quick else 100
    peers = [KERAS, KERAS_JAX] if asked.jax else [KERAS]
    jobs = []
    for seed in range(1 if asked.quick else asked.seeds):
        jobs += [sessions.keras(peer, seed, epochs) for peer in peers]
        jobs.append(sessions.ours("published", seed, [f"training.epochs={epochs}"]))
    question = "the published program as it stands: whole fits"
    result = sessions.measure(question, "published-whole", jobs, asked)
    report.write(asked.out, "published-whole", result, table(result), _picture(result))


def _two_lines(asked: argparse.Namespace) -> None:
    epochs = 2 if asked.quick else 100
    seeds = range(1 if asked.quick else asked.seeds)
    jobs = [sessions.keras(TWO_LINES, seed, epochs) for seed in seeds]
    question = "the published program with two lines changed: whole fits"
    result = sessions.measure(question, "published-two-lines", jobs, asked)
    (asked.out / "published-two-lines.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "published-two-lines.md").write_text(_accuracies(result))


def table(result: dict[str, Any]) -> str:
    """Return whole fits as Markdown: a row per run, and a mean for each contestant."""
    lines = [
        *report.heading(result),
        sessions.conditions(result),
        *report.columns(
            "",
            "seed",
            "epochs (best)",
            "fit, s",
            "start to end of best epoch, s",
            "whole command, s",
            "train",
            "test",
            "peak memory, MB",
        ),
    ]
    runs = sessions.counted(result)
    for name in dict.fromkeys(run["contestant"] for run in runs):
        group = [run for run in runs if run["contestant"] == name]
        lines += [_row(run) for run in group] + [_mean(name, group)]
    lines += [
        "",
        "Accuracies with their standard deviation over seeds. All of these choose their best epoch"
        " on the test split, as published, so that their test accuracies flatter.",
    ]
    return "\n".join(lines) + "\n"


def _accuracies(result: dict[str, Any]) -> str:
    """Return the accuracies of whole fits as Markdown: their times are in another table."""
    runs = sessions.counted(result)
    shares = [accuracy([run[key] for run in runs]) for key in ("train_accuracy", "test_accuracy")]
    lines = [
        *report.heading(result),
        *report.columns("", "epochs (best)", "train", "test"),
        *(
            report.line(
                f"seed {run['seed']}",
                f"{run['epochs']} ({run['best_epoch']})",
                *(f"{100 * run[key]:.1f} %" for key in ("train_accuracy", "test_accuracy")),
            )
            for run in runs
        ),
        report.line("**mean**", "", *shares),
        "",
        "The changed lines are `import mlplab` and `mlplab.fit(model, …)` for `model.fit(…)`, with"
        " `mlplab.TensorBoard` for Keras's. The unchanged program's accuracies are in"
        " [whole fits](published-whole.md). All of these choose their best epoch on the test split,"
        " as published, so that their test accuracies flatter.",
    ]
    return "\n".join(lines) + "\n"


def _row(run: sessions.Run) -> str:
    return report.line(
        run["contestant"],
        run["seed"],
        f"{run['epochs']} ({run['best_epoch']})",
        f"{run['fit_seconds']:.1f}",
        f"{run['best_epoch_from_start_seconds']:.1f}",
        f"{run['command_seconds']:.1f}",
        f"{100 * run['train_accuracy']:.1f} %",
        f"{100 * run['test_accuracy']:.1f} %",
        f"{run['peak_memory_bytes'] / 1e6:,.0f}",
    )


def _mean(name: str, group: list[sessions.Run]) -> str:
    times = [
        f"{statistics.mean(run[key] for run in group):.1f}"
        for key in ("fit_seconds", "best_epoch_from_start_seconds", "command_seconds")
    ]
    shares = [accuracy([run[key] for run in group]) for key in ("train_accuracy", "test_accuracy")]
    return report.line(f"**{name}, mean**", "", "", *times, *shares, "")


def accuracy(values: list[float]) -> str:
    """Return mean ± standard deviation in percent."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation} %"


def _picture(result: dict[str, Any]) -> Figure:
    runs = sessions.counted(result)
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run["contestant"], []).append(run["fit_seconds"])
    return report.bars("Whole fit, as published", "seconds", values, {OURS: report.OURS_COLOUR})


if __name__ == "__main__":
    main()
