"""The images that there are to train on."""

import os
from pathlib import Path
from typing import Any, get_args

from mlplab.cache import cache_dir
from mlplab.recipes.recipe import DataName
from mlplab.ui import uploads


def images_there(runs_dir: Path, data_dir: Path | None) -> list[dict[str, Any]]:
    """Return the data sets that a recipe can name, and the images that were dropped on a page.

    Each has ``title``; ``data``, the recipe's keys for it; and ``there``, false for a published set
    that was not downloaded. Nothing is read: it answers at once.
    """
    found = []
    for name in get_args(DataName):
        if name != "folder":
            there = name == "digits" or any((place / name).exists() for place in _places(data_dir))
            found.append({"title": name, "data": {"name": name}, "there": there})
    own = runs_dir / uploads.FOLDER
    for folder in sorted(own.iterdir()) if own.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            data = {"name": "folder", "path": str(uploads.root(folder).resolve())}
            found.append({"title": folder.name, "data": data, "there": True})
    return found


def _places(data_dir: Path | None) -> list[Path]:
    """Return the folders that published sets are searched in (:mod:`mlplab.data.published`)."""
    named, keras = os.environ.get("MLPLAB_DATA_DIR"), os.environ.get("KERAS_HOME")
    return [
        *([data_dir] if data_dir is not None else []),
        *([Path(named).expanduser()] if named else []),
        (Path(keras).expanduser() if keras else Path.home() / ".keras") / "datasets",
        cache_dir(),
    ]
