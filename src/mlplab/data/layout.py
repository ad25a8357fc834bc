"""What the folders of a data set mean: classes, or splits that contain classes."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlplab.errors import DataError

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r", "@eadir", "__macosx"})

IMAGES = frozenset(
    (
        *("avif", "bmp", "dds", "dib", "gif", "heic", "heif", "ico", "j2k", "jp2", "jpe", "jpeg"),
        *("jpg", "pbm", "pcx", "pgm", "png", "pnm", "ppm", "qoi", "tga", "tif", "tiff", "webp"),
    )
)
"""Endings of image files."""

EXPECTED = (
    "expected a folder of images for each class, or folders such as train/, val/ and test/ that"
    " contain such folders"
)

ROLES = {
    "train": ("train", "training", "trn", "trainval"),
    "validation": ("val", "valid", "validation", "validate", "dev"),
    # Data sets that have both "validation" and "evaluation" use the latter for testing.
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout"),
}
ROLE_OF = {word: role for role, words in ROLES.items() for word in words}

FILLERS = frozenset(
    ("set", "data", "dataset", "split", "folder", "image", "images", "img", "imgs", "photos")
)
"""Words that say nothing about the images: ``train_images``."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")  # numbers are left out: val2017
GLUED = re.compile(rf"({'|'.join(ROLE_OF)})(set|data|dataset|images)")

DEEPEST = 4
"""Folders that may be alone in one another above the splits or classes."""


@dataclass(frozen=True)
class Layout:
    """The folders of a data set.

    Attributes:
        folders: for each split that has one, the folder that contains its class folders; only
            ``train`` if the data set is not divided.
        unused: names of folders beside the splits.
    """

    folders: dict[str, Path]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitName:
    """The name of a folder, read as that of a split.

    Attributes:
        role: ``train``, ``validation`` or ``test``.
        rest: its other words, such as ``seg`` in ``seg_train``.
    """

    role: str
    rest: frozenset[str]


def understand(root: Path) -> Layout:
    """Find out which folders in ``root`` are splits and which are classes.

    Splits are recognised in any case and with a common prefix or suffix. A folder that is alone
    above them, or between a split and its classes, is passed through.

    Raises:
        DataError: the folders can be understood in more than one way.
        OSError: a folder cannot be listed.
    """
    root = _down(root)
    inside = folders(root)
    named = {path: name for path in inside if (name := split_name(path.name)) is not None}
    if not _are_splits(root, named, others=len(inside) - len(named)):
        _check_classes(root, inside)
        return Layout({"train": root})
    roles: dict[str, Path] = {}
    for path, name in named.items():
        if name.role in roles:
            both = f"{roles[name.role].name}/ and {path.name}/"
            raise _ambiguous(root, f"both {both} may be its {name.role} split")
        roles[name.role] = path
    if "train" not in roles:
        raise _ambiguous(root, f"it has {_names(named)}, but no folder of training images")
    if len({name.rest for name in named.values()}) > 1:
        raise _ambiguous(root, f"{_names(named)} may be splits or classes")
    unused = tuple(path.name for path in inside if path not in named)
    return Layout({role: _classes_of(roles[role]) for role in ROLES if role in roles}, unused)


def split_name(name: str) -> SplitName | None:
    """Read the name of a folder as that of a split, such as ``seg_train`` or ``Validation-Set``."""
    words = [word.lower() for word in WORD.findall(name)]
    words = [glued[1] if (glued := GLUED.fullmatch(word)) else word for word in words]
    words = [word for word in words if word not in FILLERS]
    roles = {ROLE_OF[word] for word in words if word in ROLE_OF}
    if len(roles) != 1 or not {words[0], words[-1]} & ROLE_OF.keys():
        return None
    return SplitName(roles.pop(), frozenset(words).difference(ROLE_OF))


def _are_splits(root: Path, named: Mapping[Path, SplitName], others: int) -> bool:
    """Return whether folders with names of splits are splits rather than classes.

    ``train`` may be a class beside ``bus`` and ``tram``, and ``test_positive`` one beside
    ``test_negative``. A training split with another split beside it is none of these.
    """
    roles = {name.role for name in named.values()}
    if "train" in roles and len(roles) > 1:
        return True
    plain = [path for path, name in named.items() if not name.rest]
    if all(loose_images(path) or not folders(path) for path in plain):
        return False
    if others:
        raise _ambiguous(root, f"{_names(plain)} may be a split or a class")
    return True


def _check_classes(root: Path, classes: Iterable[Path]) -> None:
    """Refuse classes that contain splits, which would be mixed."""
    for path in classes:
        found = {name.role: inner for inner in folders(path) if (name := split_name(inner.name))}
        if "train" in found and len(found) > 1:
            outer = f"{found['train'].name}/{path.name}/"
            reason = f"{path.name}/ contains {_names(found.values())}; the splits come first"
            raise _ambiguous(root, f"{reason}, as in {outer}")


def _down(root: Path) -> Path:
    """Pass through folders that are alone and contain nothing but folders of images."""
    for _ in range(DEEPEST):
        inside = folders(root)
        if len(inside) != 1 or not folders(inside[0]) or loose_images(inside[0]):
            break
        root = inside[0]
    return root


def _classes_of(split: Path) -> Path:
    """Return the folder that contains a split's class folders: itself, or one further down."""
    found = _down(split)
    if not folders(found):
        files = sum(path.is_file() for path in listed(found))
        raise DataError(
            f"{found} contains no class folders, but {files:,} files; {EXPECTED}.\n"
            "If its images have no labels, move it elsewhere, or give the training folder as"
            " data.path: a part of it is then held out for testing."
        )
    return found


def folders(root: Path) -> list[Path]:
    """Return the folders in ``root``, sorted, without hidden and system folders."""
    with os.scandir(root) as entries:  # which knows what is a folder without asking for each file
        return sorted(Path(entry.path) for entry in entries if _shown(entry) and _is_folder(entry))


def loose_images(root: Path) -> list[Path]:
    """Return the files directly in ``root`` whose names are those of images, sorted."""
    endings = ((path, path.suffix[1:].lower()) for path in listed(root))
    return [path for path, ending in endings if ending in IMAGES and path.is_file()]


def listed(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without hidden and system files."""
    return sorted(path for path in folder.iterdir() if _shown(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _shown(file: Path | os.DirEntry[str]) -> bool:
    return not file.name.startswith(".") and file.name.lower() not in SYSTEM_FILES


def _names(paths: Iterable[Path]) -> str:
    return " and ".join(f"{path.name}/" for path in list(paths)[:3])


def _ambiguous(root: Path, reason: str) -> DataError:
    return DataError(
        f"the layout of {root} is ambiguous: {reason}.\n{EXPECTED[0].upper()}{EXPECTED[1:]}."
        " Rename or move folders, or give one of them as data.path."
    )
