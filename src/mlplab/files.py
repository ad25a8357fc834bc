"""Files: written so that a crash at any moment leaves them readable, read within bounds.

Whole files are written aside and renamed; files of JSON lines grow by whole lines, and a torn last
line is ignored.
"""

import errno
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError, StorageError

LONGEST_LINE = 1_000_000
"""Bytes of a line of JSON."""
LARGEST_LINES = 2**26
"""Bytes of a file of JSON lines: 100,000 epochs, or openings of test splits, take 40 MB."""

# An archive that is both so large and so many times larger than on disk is there to fill the
# memory: probabilities of many digits shrink to a half.
LARGE = 2**26
EXPANSION = 200


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Turn the system's errors while writing ``what`` into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"no space left while writing {what}; free some, then repeat"
            ) from None
        raise StorageError(f"cannot write {what}: {error.strerror or error}") from None


@contextmanager
def atomic(path: Path, check: Callable[[Path], None] = lambda written: None) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its place when the block ends without an exception.

    Args:
        path: of the file.
        check: called with the path of what was written, before it takes its place; may raise.
    """
    with storage(str(path)):
        # Not tempfile's: its files are the owner's alone, whatever the umask says.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            check(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as one line, in a single write, after a line that a crash tore."""
    if path.is_symlink():
        raise StorageError(f"{path} is a link, which mlplab does not make; remove it")
    with storage(str(path)), path.open("a+b") as file:
        line = json.dumps(row).encode() + b"\n"
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON objects, each as one line, atomically."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines; a line torn by a crash is left out.

    Raises:
        RunError: if it is larger than what mlplab writes.
    """
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    if path.stat().st_size > LARGEST_LINES:
        raise RunError(f"{path} is larger than {LARGEST_LINES:,} bytes, which no run needs")
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            if line.count(b"{") + line.count(b"[") > 1:
                continue  # rows are flat; tables within tables take fifty times the memory
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if row and isinstance(row, dict):
                rows.append(row)
    return rows


def text(path: Path, largest: int) -> str:
    """Return the UTF-8 text of a regular file.

    Args:
        path: of the file. A pipe or a device, which may never end, is refused.
        largest: bytes that it may have.

    Raises:
        OSError: if it is missing, of another kind, too large or cannot be read.
        UnicodeDecodeError: if it is not UTF-8.
    """
    size = path.stat().st_size
    if not path.is_file():
        kind = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(kind, os.strerror(kind) if path.is_dir() else "not a regular file")
    if size > largest:
        raise OSError(errno.EFBIG, f"larger than {largest:,} bytes")
    return path.read_text("utf-8")


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a NumPy archive; no object is made from it.

    Raises:
        Exception: nearly any, if it is damaged; ``ValueError``, if it unpacks to far more than it
            takes on disk.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
        if size > max(LARGE, EXPANSION * path.stat().st_size):
            raise ValueError(f"it unpacks to {size:,} bytes")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file as records have it, or ``None`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def inside(folder: Path, name: str) -> bool:
    """Return whether a path that a file names lies in a folder, links followed."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or with a null character
        return False
