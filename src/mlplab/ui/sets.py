"""The images that there are to train on."""

from pathlib import Path
from typing import Any, get_args

from mlplab.data.published import places
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
            there = name == "digits" or any((place / name).exists() for place in places(data_dir))
            found.append({"title": name, "data": {"name": name}, "there": there})
    own = runs_dir / uploads.FOLDER
    for folder in sorted(own.iterdir()) if own.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            data = {"name": "folder", "path": str(uploads.root(folder).resolve())}
            found.append({"title": folder.name, "data": data, "there": True})
    return found
