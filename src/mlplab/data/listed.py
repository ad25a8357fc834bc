"""The user's own images, listed in a CSV file with their labels."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from mlplab import files
from mlplab.data.cache import Warn
from mlplab.data.csv_table import read_table
from mlplab.data.dataset import Dataset
from mlplab.data.folder import load_trees
from mlplab.data.layout import ROLES, folders, loose_images, split_name
from mlplab.data.trees import Tree, class_name, relative
from mlplab.data.understood import images, listing, summary
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data
from mlplab.text import counted, line

NAME = "metadata.csv"
"""The list that is looked for in a folder, as the Hugging Face hub calls it."""

COLUMNS = {
    "file": ("file_name", "filename", "file", "path", "filepath", "image", "image_path"),
    "label": ("label", "class", "target"),
    "split": ("split", "subset"),
    "group": ("group", "patient", "patient_id", "subject", "subject_id"),
}
"""What columns may be called, in any case, with spaces or dashes instead of underscores."""

GROUP = "group "
"""Before a group's name; an image without one is a group by itself."""

NAMED = 3
"""Rows or files that an error names."""


@dataclass
class Rows:
    """What a list says.

    Attributes:
        columns: the name of each column that was understood, by what it is.
        files: the label of each file, by split.
        groups: of the files; of one without a group, itself.
        repeated: how many rows name a file again.
    """

    columns: dict[str, str]
    files: dict[str, dict[Path, str]] = field(default_factory=dict)
    groups: dict[Path, str] = field(default_factory=dict)
    repeated: int = 0


def lists_in(folder: Path, warn: Warn) -> list[Path]:
    """Return the ``metadata.csv`` of a folder, or those of its splits, that list labelled images.

    One with other columns, such as captions, leaves the folder as it is; a note says so.
    """
    if (folder / NAME).is_file():
        return [folder / NAME] if _lists_images(folder / NAME, warn) else []
    splits = [inner for inner in folders(folder) if split_name(inner.name) is not None]
    found = [inner / NAME for inner in splits if (inner / NAME).is_file()]
    whole = found and len(found) == len(splits)
    return found if whole and all(_lists_images(path, warn) for path in found) else []


def _lists_images(path: Path, warn: Warn) -> bool:
    try:
        header, _ = read_table(path, lambda text: None)
    except DataError as error:
        warn(f"not used: {error}")
        return False
    if all(_named(header, kind) for kind in ("file", "label")):
        return True
    warn(f"not used: {line(str(path))} has no columns of file names and labels")
    return False


def load(path: Path, settings: Data, warn: Warn) -> Dataset:
    """Return the images that a CSV file lists, each ``settings.image_size`` squared.

    File names are relative to the file's own folder, and stay inside it.

    Raises:
        DataError: columns are missing or ambiguous, files are missing, or a class is too small.
    """
    return load_lists(path, [path], settings, warn)


def load_lists(title: Path, paths: Sequence[Path], settings: Data, warn: Warn) -> Dataset:
    """Return the images of one list, or of one in the folder of each split.

    Args:
        title: what the user named.
        paths: the lists, as :func:`lists_in` returns them.
        settings: the recipe's ``[data]``.
        warn: as in :func:`mlplab.data.load`.

    Raises:
        DataError: as :func:`load` says.
    """
    root = title if title.is_dir() else title.parent
    place = title if len(paths) > 1 else paths[0]
    rows = Rows({})
    for path in paths:
        header, table = read_table(path, warn)
        named = split_name(path.parent.name) if len(paths) > 1 else None
        _understand(rows, path, header, table, named.role if named else "train")
    if "train" not in rows.files:
        raise DataError(f"{place}: no row is of the split train")
    _check_groups(place, rows)
    wanted = set(map(class_name, settings.classes))
    trees = _trees(place, rows, wanted)
    groups = rows.groups if "group" in rows.columns else None
    dataset = load_trees(trees, root, settings, warn, wanted, groups)
    if rows.repeated:
        again = counted(rows.repeated, "row")
        warn(f"{line(place.name)} names the same file again in {again}: each file counts once")
    if beside := _unlisted(rows):
        names = listing([relative(file, root) for file in beside])
        count = images(len(beside))
        warn(f"not used because {line(place.name)} does not list them: {count}, {names}")
    warn(summary(place, dict.fromkeys(trees, ""), settings, dataset) + _columns(rows))
    return dataset


def _unlisted(rows: Rows) -> list[Path]:
    """Return the images that are not in the list, from the folders of those that are."""
    known = set().union(*rows.files.values())
    places = sorted({file.parent for file in known})
    try:
        return [file for place in places for file in loose_images(place) if file not in known]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None


def _columns(rows: Rows) -> str:
    """Return in words which columns were used."""
    named = ", ".join(f"{kind} in '{line(name)}'" for kind, name in rows.columns.items())
    groups = {group for group in rows.groups.values() if group.startswith(GROUP)}
    together = f"; {counted(len(groups), 'group')} stay together" if groups else ""
    return f" (columns: {named}{together})"


def _named(header: Sequence[str], kind: str) -> list[int]:
    """Return the positions of the columns that may be of a kind."""
    plain = [re.sub(r"[ _-]", "", name).lower() for name in header]
    known = {name.replace("_", "") for name in COLUMNS[kind]}
    return [position for position, name in enumerate(plain) if name in known]


def _positions(path: Path, header: Sequence[str]) -> dict[str, int]:
    found = {}
    for kind in COLUMNS:
        there = _named(header, kind)
        names = ", ".join(map(line, header))[:200]
        if len(there) > 1:
            several = " and ".join(f"'{_short(header[position])}'" for position in there)
            raise DataError(f"{path}: the {kind} may be in {several}; rename or remove one of them")
        if not there and kind in ("file", "label"):
            choices = ", ".join(COLUMNS[kind])
            raise DataError(
                f"{path} has no column for the {kind}: its columns are {names}.\n"
                f"Call it one of {choices}."
            )
        if there:
            found[kind] = there[0]
    return found


def _understand(
    rows: Rows, path: Path, header: Sequence[str], table: Sequence[Sequence[str]], split: str
) -> None:
    """Add what a list says; its images are of ``split`` if no column says otherwise."""
    at = _positions(path, header)
    rows.columns |= {kind: header[position] for kind, position in at.items()}
    for kind in ("file", "label", "split"):
        empty = [str(n) for n, row in enumerate(table, start=2) if kind in at and not row[at[kind]]]
        if empty:
            more = ", …" if len(empty) > NAMED else ""
            named = ", ".join(empty[:NAMED])
            raise DataError(
                f"{path}: there is no {kind} in {counted(len(empty), 'row')}: {named}{more}"
            )
    found = _inside(path, dict.fromkeys(row[at["file"]] for row in table))
    missing = [_short(cell) for cell, file in found.items() if not _holds(file, Path.is_file)]
    if missing:
        more = ", …" if len(missing) > NAMED else ""
        raise DataError(
            f"{path} names {counted(len(missing), 'file')} not found beside it:"
            f" {', '.join(missing[:NAMED])}{more}"
        )
    seen: dict[Path, tuple[str, ...]] = {}
    for row in table:
        file, label = found[row[at["file"]]], class_name(row[at["label"]])
        role = _role(path, row[at["split"]]) if "split" in at else split
        group = row[at["group"]] if "group" in at else ""
        said = (label, role, group)
        if seen.setdefault(file, said) != said:
            raise DataError(
                f"{path}: {_short(row[at['file']])} is listed twice, with different values:"
                f" {_values(seen[file])} and {_values(said)}"
            )
        rows.repeated += file in rows.files.setdefault(role, {})
        rows.files[role][file] = label
        rows.groups[file] = f"{GROUP}{group}" if group else f"file {file}"


def _inside(path: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files of these names; refuse one outside the folder of the list."""
    found: dict[str, Path] = {}
    known: set[Path] = set()  # folders inside; asking for each file would take much longer
    for name in names:
        plain = PureWindowsPath(name)  # which takes both kinds of slashes
        file = path.parent / plain.as_posix()
        outside = bool(plain.anchor) or ".." in plain.parts or "\0" in name
        if not outside and (file.parent not in known or _holds(file, Path.is_symlink)):
            outside = not files.inside(path.parent, plain.as_posix())
            known.add(file.parent)
        if outside:
            raise DataError(
                f"{path} names {_short(name)}, which is not inside its folder; file names are"
                f" relative to {path.parent}"
            )
        found[name] = file
    return found


def _holds(file: Path, asked: Callable[[Path], bool]) -> bool:
    """Return what the system says about a file; no, if it takes no such name."""
    try:
        return asked(file)
    except OSError:
        return False


def _short(cell: str) -> str:
    return line(cell[:100])


def _values(cells: Iterable[str]) -> str:
    return ", ".join(map(_short, filter(None, cells)))


def _role(path: Path, value: str) -> str:
    named = split_name(value)
    if named is None:
        raise DataError(f"{path}: '{_short(value)}' is no split; expected train, val or test")
    return named.role


def _check_groups(path: Path, rows: Rows) -> None:
    """Refuse groups on both sides of a split: images in training would help with the others."""
    sides: dict[str, str] = {}
    for role, found in rows.files.items():
        for file in found:
            group = rows.groups[file]
            if sides.setdefault(group, role) != role:
                raise DataError(
                    f"{path}: {_short(group)} has images in {sides[group]} and in {role}, but a"
                    " group stays together; correct the list, or rename its column"
                )


def _trees(path: Path, rows: Rows, wanted: set[str]) -> dict[str, Tree]:
    """Return the files by split and class, as they would be listed in class folders."""
    by_class: dict[str, dict[str, list[Path]]] = {}
    for role in (role for role in ROLES if role in rows.files):
        by_class[role] = {}
        for file in sorted(rows.files[role]):
            by_class[role].setdefault(rows.files[role][file], []).append(file)
    everywhere = set.intersection(*(set(found) for found in by_class.values()))
    every = set.union(*(set(found) for found in by_class.values()))
    for role, found in by_class.items():
        if missing := sorted((every & wanted if wanted else every) - found.keys()):
            named = ", ".join(map(_short, missing[:NAMED]))
            raise DataError(f"{path}: the {role} split has no images of class {named}")
    if len(everywhere) < 2:
        raise DataError(f"{path} has {len(everywhere)} class; at least 2 are needed")
    return {role: _tree(path, found, sorted(everywhere)) for role, found in by_class.items()}


def _tree(path: Path, files: Mapping[str, Sequence[Path]], names: Sequence[str]) -> Tree:
    return Tree(path, tuple(names), tuple(tuple(files[name]) for name in names))
