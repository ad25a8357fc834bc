"""Runs of experiments: train them if they are missing, and keep their records with the pages."""

import shutil
from pathlib import Path
from typing import Any

from mlplab.experiment import execute, resume
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs import store
from mlplab.runs.run import Run

KEPT = ("record.json", "metrics.jsonl", "recipe.toml")


def trained(recipe: Recipe, runs_dir: Path, name: str, **options: Any) -> Run:
    """Return a finished run; train it if it does not exist.

    A run that was stopped, or that has a different recipe, is trained again from scratch.

    Args:
        recipe: what to train.
        runs_dir: where the run is, or will be created.
        name: of the run.
        **options: other fields of ``Options``; by default the test split stays closed.
    """
    folder = runs_dir / name
    if (folder / "record.json").is_file() and _is_of(recipe, folder):
        return Run(folder)
    shutil.rmtree(folder, ignore_errors=True)
    print(name, flush=True)
    options = {"test": False, **options}
    run = execute.run(recipe, Options(runs_dir=runs_dir, name=name, **options))
    if run.record.status != "finished":
        raise SystemExit(f"{name} has status {run.record.status}: {run.record.reason or 'stopped'}")
    return run


def _is_of(recipe: Recipe, folder: Path) -> bool:
    record = store.read_record(folder)
    return record.status == "finished" and resume.is_run_of(complete(recipe), Run(folder), record)


def keep(folder: Path, page: Path) -> Path:
    """Copy a run's record, rows and recipe to the folder of a page, and return the copy's path."""
    target = page.with_suffix("") / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(folder / name, target / name)
    return target
