"""Runs of experiments: trained unless they are there, and their records kept beside the pages."""

import shutil
from pathlib import Path

import mlplab
from mlplab.config import Recipe
from mlplab.runs import store
from mlplab.runs.run import Run

KEPT = ("record.json", "metrics.jsonl", "recipe.toml")


def trained(recipe: Recipe, runs_dir: Path, name: str) -> Run:
    """Return a finished run, trained unless it is there; the test split stays closed."""
    folder = runs_dir / name
    if (folder / "record.json").is_file() and store.read_record(folder).status == "finished":
        return Run(folder)
    shutil.rmtree(folder, ignore_errors=True)
    print(name, flush=True)
    return mlplab.train(recipe, runs_dir=runs_dir, name=name, open_test=False)


def keep(folder: Path, page: Path) -> Path:
    """Copy a run's record, rows and recipe to beside a page, and return their place."""
    target = page.with_suffix("") / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(folder / name, target / name)
    return target
