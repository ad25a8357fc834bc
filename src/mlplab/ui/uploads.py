"""Images that are dropped on a page: written into a folder of their own, within bounds."""

import contextlib
import re
import shutil
import stat
import time
import zipfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from mlplab.errors import DataError, MlplabError, first_line
from mlplab.files import storage
from mlplab.runs.record import DATA_FILES
from mlplab.ui.guard import inside

FOLDER = "images"  # in the runs folder
HIDDEN = ".coming-"  # before the names of sets that are being uploaded
LARGEST_FILE = 2**28  # bytes of a file or an archive
LARGEST_PICTURE = 2**26  # bytes of one picture
MOST_FILES = 200_000
ABANDONED = 24 * 3600  # seconds
LARGEST_SET = 2**33  # bytes of a data set
KINDS = {
    *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".heic", ".avif", *DATA_FILES),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


def begin(runs_dir: Path, name: str) -> str:
    """Make the hidden folder of a new set of images; return the set's name, which is free.

    Until :func:`end`, nobody can train on a set that is only half there.

    Raises:
        DataError: if a set cannot be called so.
        StorageError: if the folder cannot be made.
    """
    if not NAME.fullmatch(name):
        raise DataError("name the images with letters, digits, spaces, '.', '-' and '_'")
    with storage(str(runs_dir / FOLDER)):
        for number in range(1, 10_000):
            free = name if number == 1 else f"{name}-{number}"
            if (runs_dir / FOLDER / free).exists():
                continue
            try:
                (runs_dir / FOLDER / f"{HIDDEN}{free}").mkdir(parents=True)
            except FileExistsError:
                continue
            return free
    raise DataError(f"too many sets of images are called {name}")


def begun(runs_dir: Path, name: str) -> Path:
    """Return the hidden folder of a set that is being uploaded.

    Raises:
        DataError: if there is none.
    """
    folder = runs_dir / FOLDER / f"{HIDDEN}{name}"
    if not NAME.fullmatch(name) or not folder.is_dir():
        raise DataError("these images were not announced, or are complete")
    return folder


def end(runs_dir: Path, name: str) -> str:
    """Show a set that is complete, and return its name; remove it if nobody could train on it.

    Raises:
        DataError: if it has neither folders of pictures nor a file of images.
    """
    folder = begun(runs_dir, name)
    inner = list(root(folder).iterdir())
    folders = sum(path.is_dir() for path in inner)
    if folders < 2 and not any(path.suffix.lower() in DATA_FILES for path in inner):
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            "these are no images to train on: choose a folder that has at least two subfolders of"
            " pictures, one for each class"
        )
    with storage(str(folder)):
        folder.rename(runs_dir / FOLDER / name)
    return name


def remove(runs_dir: Path, name: str) -> None:
    """Remove a set.

    Raises:
        DataError: if there is none of this name.
        StorageError: if the system does not allow it.
    """
    folder = runs_dir / FOLDER / name
    if not NAME.fullmatch(name) or not folder.is_dir() or folder.is_symlink():
        raise DataError(f"no images are called {name!r}")
    with storage(str(folder)):
        shutil.rmtree(folder)


class Bounds:
    """Counts the files and bytes of each set that is being uploaded."""

    def __init__(self) -> None:
        self._files: Counter[Path] = Counter()
        self._bytes: Counter[Path] = Counter()

    def count(self, folder: Path) -> None:
        """Count another file.

        Raises:
            DataError: if there are too many.
        """
        self._files[folder] += 1
        if self._files[folder] > MOST_FILES:
            raise DataError(f"more than {MOST_FILES:,} files are not taken")

    def left(self, folder: Path) -> int:
        """Return how many more bytes are taken."""
        return LARGEST_SET - self._bytes[folder]

    def add(self, folder: Path, size: int) -> None:
        """Count the bytes of a file."""
        self._bytes[folder] += size


def target(folder: Path, name: str) -> Path | None:
    """Return where a file of a set is written; ``None`` for files that are no images.

    Raises:
        DataError: if the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    path = inside(folder, "/".join(parts))
    if path is None or not parts or parts[0] == "/" or path == folder.resolve():
        raise DataError(f"{name!r} leads out of the folder of the images")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return None if hidden or path.suffix.lower() not in KINDS else path


async def write(stream: AsyncIterator[bytes], path: Path, most: int) -> int:
    """Write what a page sends into a file, and return how many bytes that is.

    Raises:
        DataError: if it is larger than ``most`` bytes.
        StorageError: if it cannot be written.
    """
    taken = 0
    with storage(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                async for part in stream:
                    taken += len(part)
                    if taken > most:
                        raise DataError(f"{path.name} is larger than {most // 2**20:,} MB")
                    file.write(part)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return taken


def unpack(archive: Path, folder: Path) -> int:
    """Unpack the images of a zip into a folder; return how many.

    Raises:
        DataError: if it is damaged, has too many or too large files, or names that lead elsewhere.
        StorageError: if the disk is full. Nothing is left behind in either case.
    """
    taken = count = 0
    try:
        with zipfile.ZipFile(archive) as file, storage(str(folder)):
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            if len(entries) > MOST_FILES:
                raise DataError(f"the archive has {len(entries):,} files; {MOST_FILES:,} are taken")
            for entry in entries:
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise DataError(f"the archive has a link, {entry.filename!r}")
                path = target(folder, entry.filename)
                if path is None:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with file.open(entry) as source, path.open("wb") as copy:
                    own = 0
                    while part := source.read(2**20):
                        own, taken = own + len(part), taken + len(part)
                        # Counted as they are unpacked: what an archive says of itself is no bound.
                        if own > LARGEST_PICTURE or taken > LARGEST_SET:
                            raise DataError(f"{entry.filename!r} unpacks to more than can be taken")
                        copy.write(part)
                count += 1
    except MlplabError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception as error:  # each kind of compression has errors of its own
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"the archive cannot be unpacked: {first_line(error)}") from None
    return count


def tidy(runs_dir: Path) -> None:
    """Remove uploads that were left unfinished for a day."""
    for folder in (runs_dir / FOLDER).glob(f"{HIDDEN}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder)


def root(folder: Path) -> Path:
    """Return the folder that holds the classes: an archive often has one folder around them."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir():
            return folder
        folder = inner[0]
