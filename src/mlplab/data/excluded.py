"""Image files that are left out, as a CSV file lists them."""

from collections.abc import Mapping
from pathlib import Path

from mlplab.data.cache import Warn
from mlplab.data.csv_table import read_table
from mlplab.data.trees import Tree, relative
from mlplab.errors import DataError
from mlplab.files import expanded
from mlplab.recipes.recipe import Data
from mlplab.text import counted, line

COLUMN = "file"


def names_in(path: Path, warn: Warn) -> frozenset[str]:
    """Return the names in the column ``file`` of a CSV file, none if it has only that header.

    Raises:
        DataError: it cannot be read, or has no such column.
    """
    header, table = read_table(path, warn, least=1)
    if COLUMN not in header:
        raise DataError(f"data.exclude: {path} has no column '{COLUMN}' of file names")
    at = header.index(COLUMN)
    return frozenset(row[at] for row in table)


def without(trees: Mapping[str, Tree], root: Path, settings: Data, warn: Warn) -> dict[str, Tree]:
    """Return the trees without the files that ``data.exclude`` lists, and say how many these are.

    Args:
        trees: by split.
        root: the folder that names of files are relative to.
        settings: the recipe's ``[data]``.
        warn: called with what was left out.

    Raises:
        DataError: the list cannot be read, or leaves a class without images.
    """
    if settings.exclude is None:
        return dict(trees)
    named = names_in(expanded(settings.exclude), warn)
    found: set[str] = set()
    kept = {}
    for role, tree in trees.items():
        files = []
        for name, paths in zip(tree.class_names, tree.files, strict=True):
            left = tuple(path for path in paths if relative(path, root) not in named)
            if paths and not left:
                raise DataError(f"data.exclude leaves no image of class '{line(name)}' in {role}")
            found |= {relative(path, root) for path in paths} & named
            files.append(left)
        kept[role] = Tree(tree.root, tree.class_names, tuple(files))
    unknown = f"; {counted(len(named - found), 'other name')} not found" if named - found else ""
    warn(f"left out, as {line(settings.exclude)} says: {counted(len(found), 'image')}{unknown}")
    return kept
