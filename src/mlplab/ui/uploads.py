"""Images that are dropped on a page: written into a folder of their own, within bounds."""

import re
import shutil
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from mlplab.errors import DataError
from mlplab.files import storage
from mlplab.ui.guard import inside

FOLDER = "images"  # in the runs folder
LARGEST_FILE = 2**28  # bytes of a file or an archive
LARGEST_PICTURE = 2**26  # bytes of one picture
MOST_FILES = 200_000
LARGEST_SET = 2**33  # bytes of a data set
KINDS = {
    *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".heic", ".avif", ".npz", ".csv", ".tsv", ".parquet", ".txt"),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


def folder_of(runs_dir: Path, name: str) -> Path:
    """Return the folder of a set of images.

    Raises:
        DataError: if a set cannot be called so.
    """
    if not NAME.fullmatch(name):
        raise DataError("name the images with letters, digits, '.', '-' and '_'")
    return runs_dir / FOLDER / name


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


async def write(stream: AsyncIterator[bytes], path: Path, most: int) -> None:
    """Write what a page sends into a new file.

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


def unpack(archive: Path, folder: Path) -> int:
    """Unpack the images of a zip into a folder; return how many.

    Raises:
        DataError: if it is damaged, has too many or too large files, or names that lead elsewhere;
            nothing is left behind.
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
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"the archive cannot be unpacked: {error}") from None
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not count:
        raise DataError("the archive has no images")
    return count


def root(folder: Path) -> Path:
    """Return the folder that holds the classes: an archive often has one folder around them."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir():
            return folder
        folder = inner[0]
