"""The best MLPs: train them all, and generate the table from their records.

    python -m benchmarks.mlps train cpu          # two cores: a final run takes up to 18 minutes
    python -m benchmarks.mlps train gpu          # one large GPU
    python -m benchmarks.mlps table              # docs/results/mlps.md, from the records

Finished runs are not repeated and interrupted ones are resumed, so a command may be stopped at any
time. With ``--seconds 560`` it stops on its own, and the same command continues later. Records,
curves and recipes are copied to docs/results/mlps/, from which ``table`` generates the page.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import ensembles, mlps_table, records
from benchmarks.mlps_table import COPIES, PICTURE
from mlplab.runs import store


class Entry(NamedTuple):
    """Runs of one configuration.

    Attributes:
        name: of the group.
        recipe: the recipe's name.
        seeds: one run each.
        overrides: of the recipe; ``{seed}`` is replaced by the run's seed.
    """

    name: str
    recipe: str
    seeds: tuple[int, ...] = (0, 1, 2)
    overrides: tuple[str, ...] = ()


PLANS = {
    "cpu": [
        Entry("mlp-budget", "mlp-budget"),
        Entry("mlp-strong", "mlp-strong", tuple(range(6))),
        Entry("cnn-small", "cnn-small", (0,)),
        Entry("cnn-mid", "cnn-mid", (0,)),
        Entry("mlp-taught", "mlp-taught", overrides=('teacher.runs=["cnn-mid-s0"]',)),
        Entry("cnn-narrow", "cnn-narrow"),
        Entry(
            "structured-init", "structured-init", overrides=("model.init_from=cnn-narrow-s{seed}",)
        ),
        Entry("s-fc-small", "s-fc-small", (0,)),
        Entry(
            "s-fc-small-sgd",
            "s-fc-small",
            (0,),
            ("optimizer.name=sgd", "optimizer.learning_rate=0.1", "optimizer.momentum=0.9"),
        ),
        Entry("residual-mlp", "residual-mlp", (0,)),
        Entry("linear-bottleneck", "linear-bottleneck", (0,)),
        Entry("mixer", "mixer", (0,)),
        Entry("airnet-small", "airnet-small"),
        Entry("airnet-94-cpu", "airnet-94-cpu"),
    ],
    "gpu": [
        Entry("s-fc", "s-fc", (0,)),
        Entry(
            "s-fc-sgd",
            "s-fc",
            (0,),
            ("optimizer.name=sgd", "optimizer.learning_rate=0.1", "optimizer.momentum=0.9"),
        ),
        Entry("cnn-wide", "cnn-wide", (0,)),
        Entry("s-fc-taught", "s-fc-taught", (0,), ('teacher.runs=["cnn-wide-s0"]',)),
        Entry("cnn-broad", "cnn-broad", (0,)),
        Entry("structured-broad", "structured-broad", (0,), ("model.init_from=cnn-broad-s0",)),
    ],
}


def main() -> None:
    """Train if asked to, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("plan", choices=PLANS)
    training.add_argument("--seconds", type=float, help="stop after this many seconds")
    training.add_argument("--only", nargs="*", help="train only these entries")
    for command in (training, commands.add_parser("table")):
        command.add_argument("--runs-dir", type=Path, default=Path("runs-mlps"))
    arguments = parser.parse_args()
    if arguments.command == "train":
        chosen = [e for e in PLANS[arguments.plan] if arguments.only in (None, [])
                  or e.name in arguments.only]  # fmt: skip
        train(chosen, arguments.runs_dir, arguments.seconds)
    for folder in store.folders(arguments.runs_dir):
        copy(folder)
    ensembles.write(arguments.runs_dir)
    COPIES.with_suffix(".md").write_text(mlps_table.table())


def train(entries: Sequence[Entry], runs_dir: Path, seconds: float | None) -> None:
    """Train unfinished runs, one after another, for at most this many seconds."""
    end = time.monotonic() + (seconds or float("inf"))
    for entry in entries:
        for seed in entry.seeds:
            name = f"{entry.name}-s{seed}"
            folder = runs_dir / name
            if folder.exists() and store.read_record(folder).status == "finished":
                continue
            if time.monotonic() > end:
                return
            settings = [item.format(seed=seed) for item in entry.overrides]
            command = [sys.executable, "-m", "mlplab", "train", entry.recipe, *settings]
            command += ["--seed", str(seed), "--name", name, "--group", entry.name]
            command += ["--runs-dir", str(runs_dir), "--resume", "auto", "--test", "--quiet"]
            run(command, end)


def run(command: Sequence[str], end: float) -> None:
    """Run a command, and interrupt it when time is up; it then keeps a checkpoint."""
    process = subprocess.Popen(command)
    left = end - time.monotonic()
    try:
        process.wait(None if left == float("inf") else left)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        return
    except KeyboardInterrupt:
        process.wait()
        raise
    if process.returncode:
        raise SystemExit(process.returncode)


def copy(folder: Path) -> None:
    """Copy what the table needs from a run, if it has finished."""
    if store.read_record(folder).status != "finished":
        return
    target = records.keep(folder, COPIES.with_suffix(".md"))
    picture = folder / "figures" / PICTURE
    if picture.exists() and folder.name.startswith("s-fc"):
        shutil.copyfile(picture, target / PICTURE)


if __name__ == "__main__":
    main()
