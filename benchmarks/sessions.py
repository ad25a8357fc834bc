"""Sessions that measure whole runs: saved after each run, resumable; slowed runs are repeated."""

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
AGAIN = 1  # how often a slowed run is repeated


@dataclass(frozen=True)
class Measurement:
    """A whole run to be measured.

    Attributes:
        contestant: the name shown in tables.
        seed: of the run.
        work: performs the run in a scratch folder inside the folder with the images (.npy files),
            sends errors to a log, and returns the measurements.
    """

    contestant: str
    seed: int
    work: Callable[[Path, IO[str]], Run]


def measure(
    question: str, name: str, jobs: Sequence[Measurement], asked: argparse.Namespace
) -> dict[str, Any]:
    """Perform the runs in turn and return them; ``<name>.json`` is written after each one.

    A reference product is timed before and after each run. If either rate is below 85 % of the
    best, the run is repeated once, after the others.

    Args:
        question: what is measured.
        name: of the file.
        jobs: the runs, in order.
        asked: ``out``, the folder; ``resume``, whether to keep the runs already in the file.
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
    """Return whether a job still has to run: not done yet, or only on a slowed machine.

    Args:
        job: the job.
        result: contains the runs done so far.
        attempt: the pass over the jobs, from 0; a job runs if it has at most this many slowed runs.
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
    """Return the last run of each contestant and seed: it replaces earlier, slowed ones."""
    return list({(run["contestant"], run["seed"]): run for run in result["runs"]}.values())


def conditions(result: dict[str, Any]) -> str:
    """Describe in words how many runs were slowed."""
    slowed = sum(_slowed(run, result) for run in counted(result))
    repeated = len(result["runs"]) - len(counted(result))
    return (
        f"{len(counted(result))} runs in turns, {slowed} of them on a slowed machine; {repeated}"
        " more were slowed and repeated."
    )


def _slowed(run: Run, result: dict[str, Any]) -> bool:
    return bool(min(run["reference_gflops"]) < LOWEST * result["best_reference_gflops"])


def keras(contestant: Contestant, seed: int, epochs: int) -> Measurement:
    """Return a measurement of the published program."""

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
    """Return a measurement of ``mlplab train RECIPE --test``.

    Args:
        recipe: a name or a file.
        seed: of the run.
        overrides: of the recipe.
        warm: a cache folder whose compiled programs are used and kept; by default, the run starts
            with none.
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
        command += ["--seed", str(seed), "--runs-dir", str(runs), "--test", "--quiet"]
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
