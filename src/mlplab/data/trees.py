"""The files of class folders, listed."""

import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlplab.data.layout import EXPECTED, IMAGES, folders, listed
from mlplab.errors import DataError
from mlplab.text import line


@dataclass(frozen=True)
class Tree:
    """The files of one folder of class folders, sorted.

    Attributes:
        root: the folder.
        class_names: the names of its class folders, see :func:`class_name`.
        files: for each class, its files, at any depth.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]

    def of(self, names: Collection[str]) -> "Tree":
        """Return the tree of some of the classes."""
        kept = [pair for pair in zip(self.class_names, self.files, strict=True) if pair[0] in names]
        return Tree(self.root, tuple(name for name, _ in kept), tuple(files for _, files in kept))


def class_name(name: str) -> str:
    """Return the name of a class in the form in which names are compared.

    A letter such as "é" can be one character or two. Systems differ in which they write, but a
    class is the same wherever its folder was copied from.
    """
    return unicodedata.normalize("NFC", name)


def relative(path: Path, root: Path) -> str:
    """Return the path below ``root`` as text that can be shown."""
    return line(path.relative_to(root).as_posix())


def scan(root: Path, wanted: Collection[str] = ()) -> Tree:
    """List the images of a folder of class folders.

    Hidden and system files are left out. Links are followed, but never into a folder that is
    already being listed.

    Args:
        root: the folder.
        wanted: classes that are needed, by default all. Others are left out if they contain no
            file that is named like an image.

    Raises:
        DataError: there are fewer than two class folders, or one is empty.
    """
    classes: dict[str, tuple[Path, ...]] = {}
    try:
        inside = sorted(folders(root), key=lambda path: class_name(path.name))
        if len(inside) < 2:
            found = f"only '{inside[0].name}'" if inside else "no folders"
            needed = f"at least 2 classes are needed; {EXPECTED}"
            raise DataError(f"{root} contains {found}, but {needed}")
        home = _identity(root)
        for folder in inside:
            files = tuple(_files(folder, {home, _identity(folder)}))
            name = class_name(folder.name)
            if not wanted or name in wanted or any(map(_named_like_an_image, files)):
                classes[name] = classes.get(name, ()) + files
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}") from None
    empty = [name for name, files in classes.items() if not files]
    if empty:
        raise DataError(
            f"{root}: no images in {', '.join(empty)}; add some, remove the folder, or name the"
            " classes to use in data.classes"
        )
    return Tree(root, tuple(classes), tuple(classes.values()))


def same_classes(trees: Mapping[str, Tree], wanted: Collection[str] = ()) -> dict[str, Tree]:
    """Return the trees of a data set's splits, with the classes that all of them have.

    Raises:
        DataError: one lacks a class that another has, and that is wanted (by default all are).
    """
    (first, *others) = trees.values()
    common = set(first.class_names)
    for other in others:
        different = sorted(set(first.class_names) ^ set(other.class_names))
        if missing := [name for name in different if not wanted or name in wanted]:
            lists = "; ".join(
                f"only {tree.root} has {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
                for tree in (first, other)
                if (names := [name for name in missing if name in tree.class_names])
            )
            raise DataError(
                f"{first.root} and {other.root} must have the same classes, but {lists}"
            )
        common &= set(other.class_names)
    return {role: tree.of(common) for role, tree in trees.items()}


def all_files(root: Path) -> Iterator[Path]:
    """List the files of a folder at any depth, sorted."""
    return _files(root, {_identity(root)})


def _named_like_an_image(path: Path) -> bool:
    return path.suffix[1:].lower() in IMAGES


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    for path in listed(folder):
        if path.is_dir():
            identity = _identity(path)
            if identity not in seen:
                seen.add(identity)
                yield from _files(path, seen)
        elif path.is_file():  # neither pipes nor broken links
            yield path
