"""Studies: those that ship, and how far those in the runs folder are."""

import functools
import tomllib
from pathlib import Path
from typing import Any

import mlplab
from mlplab import recipes
from mlplab.errors import UserError
from mlplab.runs import layout, store
from mlplab.ui.summaries import Summaries

SHIPPED = Path(mlplab.__file__).parent / "study" / "shipped"


def known(runs_dir: Path) -> dict[str, Any]:
    """Return the shipped studies, and the tables of those in a runs folder."""
    own = sorted(path.parent for path in runs_dir.glob(f"*/{layout.STUDY}"))
    return {"shipped": [_shipped(path) for path in sorted(SHIPPED.glob("*.toml"))],
            "studies": [_state(folder) for folder in own]}  # fmt: skip


def words(name: str, quick: bool) -> list[str]:
    """Return the words that start a shipped study, or continue it.

    Raises:
        UserError: if there is no such study.
    """
    if name not in {path.stem for path in SHIPPED.glob("*.toml")}:
        raise UserError(f"no study is called '{name}'")
    return ["study", name, *(["--quick"] if quick else [])]


@functools.cache
def _shipped(path: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    return {
        "name": path.stem,
        "title": tomllib.loads(text).get("title", path.stem),
        "text": " ".join(recipes.header(text)[1:]),
        "quick": _size(path.stem, quick=True),
        "whole": _size(path.stem, quick=False),
    }


def _size(name: str, quick: bool) -> dict[str, int]:
    """Return how many trainings a shipped study takes, and of how many epochs at most."""
    from mlplab.study import design, sampling  # which load SciPy

    study = design.load(name, quick)
    tried = sum(len(sampling.points(study, variant)) for variant in study.names)
    epochs = (study.recipe_of(variant, study.corners(variant)[0], 0) for variant in study.names)
    return {
        "trainings": tried * study.design.replicates + len(study.names) * study.design.finals,
        "epochs": max(recipe.training.epochs for recipe in epochs),
    }


def _state(folder: Path) -> dict[str, Any]:
    """Return how far a study is: a row for each variant, from its runs."""
    rows: dict[str, dict[str, Any]] = {}
    for kind in (layout.TRIALS, layout.FINALS):
        for run in Summaries(folder / kind).all():
            row = rows.setdefault(run["group"] or "", {"variant": run["group"] or ""})
            row[kind] = row.get(kind, 0) + 1
            ended = run["status"] in ("finished", "diverged")
            row[f"{kind}_ended"] = row.get(f"{kind}_ended", 0) + ended
            found = run["metrics"].get("validation", {}).get("accuracy")
            if kind == layout.TRIALS and found is not None:
                row["best"] = max(row.get("best", 0.0), found)
            if kind == layout.FINALS and "test" in run["metrics"]:
                row.setdefault("tests", []).append(run["metrics"]["test"]["accuracy"])
    try:
        title = tomllib.loads((folder / layout.STUDY).read_text("utf-8")).get("title", "")
    except (OSError, ValueError):
        title = ""
    return {
        "name": folder.name,
        "title": title,
        "rows": sorted(rows.values(), key=lambda row: -row.get("best", 0.0)),
        "page": (folder / layout.REPORT).is_file() and store.is_study(folder),
    }
