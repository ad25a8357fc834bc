"""File access: writes that a crash cannot corrupt, and reads with a size limit.

Whole files are written under a temporary name and renamed; JSON-lines files grow by whole lines,
and a torn last line is ignored.
"""

import codecs
import errno
import hashlib
import json
import math
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError, StorageError, UserError

LONGEST_LINE = 1_000_000
"""Longest line of JSON, in bytes."""
LARGEST_LINES = 2**26
"""Largest JSON-lines file, in bytes: 100,000 epochs, or entries of the ledger, take 40 MB."""

# An archive that unpacks to more than both of these is meant to fill the memory: compression only
# halves real probabilities.
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
                f"no space left while writing {what}; free some, then try again"
            ) from None
        raise StorageError(f"cannot write {what}: {error.strerror or error}") from None


@contextmanager
def atomic(path: Path, check: Callable[[Path], None] = lambda written: None) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` when the block ends without an exception.

    Args:
        path: the file to write.
        check: called with the temporary file's path before it replaces ``path``; may raise.
    """
    with storage(str(path)):
        # Not tempfile: only the owner can read its files, whatever the umask says.
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


def finite(value: Any) -> Any:
    """Return a value in a form that JSON can hold: NaN and infinity become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as one line in a single write, on a new line after a torn one."""
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
    """Return the rows of a JSON-lines file; a line torn by a crash is left out.

    Raises:
        RunError: if it is larger than any that mlplab writes.
    """
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    if path.stat().st_size > LARGEST_LINES:
        raise RunError(f"{path} is larger than {LARGEST_LINES:,} bytes, which no run needs")
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            if line.count(b"{") + line.count(b"[") > 1:
                continue  # rows are flat; nested tables take fifty times the memory
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if row and isinstance(row, dict):
                rows.append(row)
    return rows


def expanded(path: str | Path) -> Path:
    """Return a path with a ``~`` at its start replaced by the home folder, as shells do.

    Raises:
        UserError: if there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such home folder; write the path in full") from None


# Windows' editors and shells begin a text with one of these; the longer ones come first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text(path: Path, largest: int) -> str:
    """Return the text of a regular file: UTF-8, or what the mark at its start says.

    Args:
        path: the file. A pipe or a device, which may never end, is refused.
        largest: size limit in bytes.

    Raises:
        OSError: if it is missing, not a regular file, too large or cannot be read.
        UnicodeDecodeError: if it is not such text.
    """
    size = path.stat().st_size
    if not path.is_file():
        kind = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(kind, os.strerror(kind) if path.is_dir() else "not a regular file")
    if size > largest:
        raise OSError(errno.EFBIG, f"larger than {largest:,} bytes")
    with path.open("rb") as file:
        start = file.read(4)
    return path.read_text(next((MARKS[mark] for mark in MARKS if start.startswith(mark)), "utf-8"))


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a NumPy archive, without unpickling anything.

    Raises:
        Exception: nearly any, if it is damaged; ``ValueError``, if it unpacks to far more than its
            size on disk.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
        if size > max(LARGE, EXPANSION * path.stat().st_size):
            raise ValueError(f"it unpacks to {size:,} bytes")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in the form used by records, or ``None`` if unreadable."""
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def inside(folder: Path, name: str) -> bool:
    """Return whether ``name`` leads to a path inside a folder, links followed."""
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or with a null character
        return False
