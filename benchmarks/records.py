"""Runs of experiments: trained unless they are there, and their records kept beside the pages."""

import shutil
from pathlib import Path
from typing import Any

from mlplab import recipes
from mlplab.experiment import execute
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs import store
from mlplab.runs.run import Run

KEPT = ("record.json", "metrics.jsonl", "recipe.toml")


def trained(recipe: Recipe, runs_dir: Path, name: str, **options: Any) -> Run:
    """Return a finished run, trained unless it is there.

    What was stopped, or is of another recipe, is trained anew.

    Args:
        recipe: what to train.
        runs_dir: where the run is, or is made.
        name: of the run.
        **options: others of ``Options``; the test split stays closed unless they open it.
    """
    folder = runs_dir / name
    if (folder / "record.json").is_file() and _is_of(recipe, folder):
        return Run(folder)
    shutil.rmtree(folder, ignore_errors=True)
    print(name, flush=True)
    options = {"open_test": False, **options}
    run = execute.run(recipe, Options(runs_dir=runs_dir, name=name, **options))
    if run.record.status != "finished":
        raise SystemExit(f"{name} is {run.record.status}: {run.record.reason or 'stopped'}")
    return run


def _is_of(recipe: Recipe, folder: Path) -> bool:
    if store.read_record(folder).status != "finished":
        return False
    return (folder / "recipe.toml").read_text("utf-8") == recipes.to_toml(complete(recipe))


def keep(folder: Path, page: Path) -> Path:
    """Copy a run's record, rows and recipe to beside a page, and return their place."""
    target = page.with_suffix("") / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(folder / name, target / name)
    return target
