"""Sessions that measure whole runs: saved after each run, resumable, repeated where slowed."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks import inputs, report, whole
from benchmarks.protocol import LOWEST, reference_rate
from benchmarks.workers import OURS as OWN
from benchmarks.workers import Contestant, python
from mlplab.cache import cache_dir

Run = dict[str, Any]
AGAIN = 1  # times that a slowed run is repeated


@dataclass(frozen=True)
class Measurement:
    """A whole run to be measured.

    Attributes:
        contestant: as tables show it.
        seed: of the run.
        work: does it in a folder that has the images as .npy files, its errors to a log; returns
            what was measured.
    """

    contestant: str
    seed: int
    work: Callable[[Path, IO[str]], Run]


def measure(
    question: str, name: str, jobs: Sequence[Measurement], asked: argparse.Namespace
) -> dict[str, Any]:
    """Perform the runs in turn and return them; ``<name>.json`` is written after each.

    Before and after each run a reference product is timed. A run that began or ended at under 85 %
    of the best rate is repeated once, after the others.

    Args:
        question: what is measured.
        name: of the file.
        jobs: in this order.
        asked: ``out``, the folder; ``resume``, whether runs that are in the file already count.
    """
    path = asked.out / f"{name}.json"
    result: dict[str, Any] = {
        "question": question,
        **report.facts(),
        "data": "CIFAR-10",
        "best_reference_gflops": reference_rate(),
        "runs": [],
    }
    if asked.resume and path.exists():
        before = json.loads(path.read_text())
        result["runs"] = before["runs"]
        result["best_reference_gflops"] = max(
            before["best_reference_gflops"], result["best_reference_gflops"]
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        (asked.out / "peers.log").open("a") as log,
    ):
        inputs.write(Path(folder))
        for attempt in range(1 if asked.quick else 1 + AGAIN):
            for job in jobs:
                if wanted(job, result, attempt):
                    _do(job, result, Path(folder), log)
                    path.write_text(json.dumps(result, indent=1) + "\n")
    return result


def wanted(job: Measurement, result: dict[str, Any], attempt: int) -> bool:
    """Tell whether a job has not been done, or on a slowed machine alone and that seldom enough.

    Args:
        job: to be done.
        result: with the runs that are done.
        attempt: how often a slowed run has been repeated, from 0.
    """
    done = [r for r in result["runs"] if (r["contestant"], r["seed"]) == (job.contestant, job.seed)]
    slowed = [run for run in done if _slowed(run, result)]
    return len(done) == len(slowed) <= attempt


def _do(job: Measurement, result: dict[str, Any], folder: Path, log: IO[str]) -> None:
    rates = [reference_rate()]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        run = job.work(Path(scratch), log)
    rates.append(reference_rate())
    run = {"contestant": job.contestant, "seed": job.seed, **run, "reference_gflops": rates}
    result["runs"].append(run)
    result["best_reference_gflops"] = max(result["best_reference_gflops"], *rates)
    print(
        f"{job.contestant}, seed {job.seed}: {run['command_seconds']:.1f} s, test"
        f" {100 * run['test_accuracy']:.2f} %{', slowed' if _slowed(run, result) else ''}",
        flush=True,
    )


def counted(result: dict[str, Any]) -> list[Run]:
    """Return the last run of each contestant and seed: one that was slowed was done again."""
    return list({(run["contestant"], run["seed"]): run for run in result["runs"]}.values())


def conditions(result: dict[str, Any]) -> str:
    """Return in words how many runs were slowed."""
    slowed = sum(_slowed(run, result) for run in counted(result))
    repeated = len(result["runs"]) - len(counted(result))
    return (
        f"{len(counted(result))} runs in turns, {slowed} of them on a slowed machine; {repeated}"
        " more were slowed and repeated."
    )


def _slowed(run: Run, result: dict[str, Any]) -> bool:
    return bool(min(run["reference_gflops"]) < LOWEST * result["best_reference_gflops"])


def keras(contestant: Contestant, seed: int, epochs: int) -> Measurement:
    """Return a run of the published program."""

    def work(folder: Path, log: IO[str]) -> Run:
        told = {"data": str(folder.parent), "scratch": str(folder), "seed": seed, "epochs": epochs}
        done = whole.run(contestant.command(told), contestant.environment_variables(), log, folder)
        last, rows = done.lines[-1], [line for line in done.lines if "epoch" in line]
        best = rows[last["best_epoch"] - 1]["at"]
        return {
            "command_seconds": done.seconds,
            "fit_seconds": last["fit_ended"] - last["fit_begun"],
            "best_epoch_seconds": best - last["fit_begun"],
            "best_epoch_from_start_seconds": best - done.begun,
            "peak_memory_bytes": done.peak_memory_bytes,
            "epoch_seconds": [row["seconds"] for row in rows],
            "val_accuracy": [row["val_accuracy"] for row in rows],
            **{key: last[key] for key in ("epochs", "best_epoch", "parameters", "versions")},
            **{key: last[key] for key in ("train_accuracy", "test_accuracy")},
        }

    return Measurement(contestant.name, seed, work)


def ours(
    recipe: str, seed: int, overrides: Sequence[str] = (), warm: Path | None = None
) -> Measurement:
    """Return a run of ``mlplab train RECIPE``.

    Args:
        recipe: a name or a file.
        seed: of the run.
        overrides: of the recipe.
        warm: a folder whose compiled programs are used, and kept; without it none are there.
    """
    name = f"mlplab train {recipe}" + (", compiled before" if warm else "")

    def work(folder: Path, log: IO[str]) -> Run:
        if warm is not None and not (warm / "decoded").exists():
            once(folder / "once", warm, log)  # compiles
        return once(folder, warm or folder / "cache", log)

    def once(folder: Path, cache: Path, log: IO[str]) -> Run:
        folder.mkdir(exist_ok=True)
        cache.mkdir(mode=0o700, exist_ok=True)
        if not (cache / "decoded").exists():
            (cache / "decoded").symlink_to(cache_dir() / "decoded")
        runs = folder / "runs"
        command = [str(python(OWN)), "-m", "mlplab", "train", recipe, *overrides]
        command += ["--seed", str(seed), "--runs-dir", str(runs), "--quiet"]
        environ = os.environ | {"MLPLAB_CACHE_DIR": str(cache)}
        done = whole.run(command, environ, log, folder, "runs/*/metrics.jsonl")
        return _facts(done, next(runs.glob("*/record.json")))

    return Measurement(name, seed, work)


def _facts(done: whole.Whole, path: Path) -> Run:
    record = json.loads(path.read_text())
    best = record["best_epoch"]
    saved = (path.parent / "model.keras").stat().st_mtime
    return {
        "command_seconds": done.seconds,
        "trained_seconds": saved - done.begun,
        "fit_seconds": record["seconds"]["train"],
        "training_seconds": record["seconds"]["prepare"] + record["seconds"]["train"],
        "best_epoch_from_start_seconds": done.rows[best - 1] - done.begun,
        "peak_memory_bytes": done.peak_memory_bytes,
        "seconds": record["seconds"],
        "train_accuracy": record["metrics"].get("train", {}).get("accuracy"),
        "test_accuracy": record["metrics"]["test"]["accuracy"],
        "selected_on": record["selected_on"],
        **{key: record[key] for key in ("epochs", "best_epoch", "parameters", "versions")},
        **{key: record[key] for key in ("status", "config_id")},
    }
