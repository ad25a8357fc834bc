"""What the functions of this package share."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplab import files, live
from mlplab.recipes.recipe import Recipe

if TYPE_CHECKING:
    from mlplab.training.plan import Progress


def watching(progress: Any, *recipes: Recipe) -> "Progress | None":
    """Return what watches a training: the given object, or for ``"auto"`` what fits the place."""
    if progress != "auto":
        found: Progress | None = progress
        return found
    return live.watcher(recipes[0].training.epochs if recipes else 0)


def runs_folder(given: str | Path | None) -> Path:
    """Return a folder of runs: the given one, or that of the environment, or ``runs``."""
    return files.expanded(given or os.environ.get("MLPLAB_RUNS_DIR") or "runs")


def folder(given: str | Path | None) -> Path | None:
    """Return a path with the user's home written out."""
    return None if given is None else files.expanded(given)


def warn(text: str) -> None:
    """Warn at the line of the user's program."""
    warnings.warn(text, stacklevel=3)
