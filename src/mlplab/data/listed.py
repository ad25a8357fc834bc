"""The user's own images, listed in a CSV file with their labels."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from mlplab import files
from mlplab.data.cache import Warn
from mlplab.data.dataset import Dataset
from mlplab.data.folder import load_trees
from mlplab.data.layout import IMAGES, ROLES, split_name
from mlplab.data.trees import Tree, all_files, class_name
from mlplab.data.understood import images, listing, summary
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data
from mlplab.text import line

NAME = "metadata.csv"
"""The list that is looked for in a folder, as the Hugging Face hub calls it."""

COLUMNS = {
    "file": ("file_name", "filename", "file", "path", "filepath", "image", "image_path"),
    "label": ("label", "class", "target"),
    "split": ("split", "subset"),
    "group": ("group", "patient", "patient_id", "subject", "subject_id"),
}
"""What columns may be called, in any case, with spaces or dashes instead of underscores."""

LARGEST = 2**28
"""Bytes of a list; a million rows take 50 MB."""

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
        groups: of the files, where the list has them.
        repeated: how many rows name a file again.
    """

    columns: dict[str, str]
    files: dict[str, dict[Path, str]] = field(default_factory=dict)
    groups: dict[Path, str] = field(default_factory=dict)
    repeated: int = 0


def is_list(folder: Path, warn: Warn) -> bool:
    """Return whether a folder has a ``metadata.csv`` that lists images with their labels.

    One with other columns, such as captions, leaves the folder as it is; a note says so.
    """
    path = folder / NAME
    if not path.is_file():
        return False
    try:
        header, _ = _table(path, lambda text: None)
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
    header, table = _table(path, warn)
    root = path.parent
    rows = _understood(path, header, table)
    _check_groups(path, rows)
    wanted = set(map(class_name, settings.classes))
    trees = _trees(path, rows, wanted)
    groups = rows.groups if "group" in rows.columns else None
    dataset = load_trees(trees, root, settings, warn, wanted, groups)
    if rows.repeated:
        again = _count(rows.repeated, "row")
        warn(f"{line(path.name)} names the same file again in {again}: each file counts once")
    known = set().union(*rows.files.values())
    other = [p for p in all_files(root) if p.suffix[1:].lower() in IMAGES and p not in known]
    if other:
        names = listing([str(p.relative_to(root)) for p in other])
        warn(
            f"not used because {line(path.name)} does not list them: {images(len(other))}, {names}"
        )
    warn(summary(path, dict.fromkeys(trees, ""), settings, dataset) + _columns(rows))
    return dataset


def _columns(rows: Rows) -> str:
    """Return in words which columns were used."""
    named = ", ".join(f"{kind} in '{line(name)}'" for kind, name in rows.columns.items())
    groups = {group for group in rows.groups.values() if group.startswith(GROUP)}
    together = f"; {_count(len(groups), 'group')} stay together" if groups else ""
    return f" (columns: {named}{together})"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _table(path: Path, warn: Warn) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file, whatever its encoding and delimiter."""
    text = _text(path, warn)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row
        ]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file: {error}") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise DataError(
            f"{path} is empty: expected a row of column names, then a row for each image"
        )
    header, *table = rows
    for number, row in enumerate(table, start=2):
        if len(row) != len(header):
            cells, columns = _count(len(row), "cell"), _count(len(header), "column")
            raise DataError(f"{path}: row {number} has {cells}, but there are {columns}")
    return header, table


def _text(path: Path, warn: Warn) -> str:
    try:
        text = files.text(path, LARGEST)
        if "\0" not in text:
            return text
        raise DataError(f"{path} is no text, or UTF-16 without its mark; save it as UTF-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeError:
        pass
    try:
        text = path.read_text("cp1252")
    except UnicodeError:
        raise DataError(f"{path} is in no encoding that is known here; save it as UTF-8") from None
    warn(f"{line(str(path))} is not UTF-8; it was read as Windows-1252, as older programs save it")
    return text


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
            several = " and ".join(f"'{line(header[position])}'" for position in there)
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


def _understood(path: Path, header: Sequence[str], table: Sequence[Sequence[str]]) -> Rows:
    at = _positions(path, header)
    rows = Rows({kind: header[position] for kind, position in at.items()})
    for kind in ("file", "label", "split"):
        empty = [str(n) for n, row in enumerate(table, start=2) if kind in at and not row[at[kind]]]
        if empty:
            more = ", …" if len(empty) > NAMED else ""
            named = ", ".join(empty[:NAMED])
            raise DataError(
                f"{path}: there is no {kind} in {_count(len(empty), 'row')}: {named}{more}"
            )
    found = {cell: _inside(path, cell) for cell in dict.fromkeys(row[at["file"]] for row in table)}
    missing = [line(cell) for cell, file in found.items() if not file.is_file()]
    if missing:
        more = ", …" if len(missing) > NAMED else ""
        raise DataError(
            f"{path} names {_count(len(missing), 'file')} not found beside it:"
            f" {', '.join(missing[:NAMED])}{more}"
        )
    seen: dict[Path, tuple[str, ...]] = {}
    for row in table:
        file, label = found[row[at["file"]]], class_name(row[at["label"]])
        role = _role(path, row[at["split"]]) if "split" in at else "train"
        group = row[at["group"]] if "group" in at else ""
        said = (label, role, group)
        if seen.setdefault(file, said) != said:
            raise DataError(
                f"{path}: {line(row[at['file']])} is listed twice, with different values:"
                f" {', '.join(filter(None, seen[file]))} and {', '.join(filter(None, said))}"
            )
        rows.repeated += file in rows.files.setdefault(role, {})
        rows.files[role][file] = label
        rows.groups[file] = f"{GROUP}{group}" if group else f"file {file}"
    if "group" not in at:
        rows.groups.clear()
    if "train" not in rows.files:
        raise DataError(f"{path}: no row is of the split train")
    return rows


def _inside(path: Path, name: str) -> Path:
    """Return the file of this name; refuse one outside the folder of the list."""
    plain = PureWindowsPath(name)  # which takes both kinds of slashes
    if plain.anchor or ".." in plain.parts or not files.inside(path.parent, plain.as_posix()):
        raise DataError(
            f"{path} names {line(name)}, which is not inside its folder; file names are relative to"
            f" {path.parent}"
        )
    return path.parent / plain.as_posix()


def _role(path: Path, value: str) -> str:
    named = split_name(value)
    if named is None:
        raise DataError(f"{path}: '{line(value)}' is no split; expected train, val or test")
    return named.role


def _check_groups(path: Path, rows: Rows) -> None:
    """Refuse groups on both sides of a split: images in training would help with the others."""
    if not rows.groups:
        return
    sides: dict[str, str] = {}
    for role, found in rows.files.items():
        for file in found:
            group = rows.groups[file]
            if sides.setdefault(group, role) != role:
                raise DataError(
                    f"{path}: {line(group)} has images in {sides[group]} and in {role}, but a group"
                    " stays together; correct the list, or rename its column"
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
            named = ", ".join(map(line, missing[:NAMED]))
            raise DataError(f"{path}: the {role} split has no images of class {named}")
    if len(everywhere) < 2:
        raise DataError(f"{path} has {len(everywhere)} class; at least 2 are needed")
    return {role: _tree(path, found, sorted(everywhere)) for role, found in by_class.items()}


def _tree(path: Path, files: Mapping[str, Sequence[Path]], names: Sequence[str]) -> Tree:
    return Tree(path, tuple(names), tuple(tuple(files[name]) for name in names))
