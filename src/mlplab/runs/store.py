"""The runs folder: run folders written so that a crash at any moment leaves them readable.

Whole files are written aside and renamed; ``metrics.jsonl`` and the ledger grow by whole lines, and
a torn last line is ignored.
"""

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import ValidationError

from mlplab.errors import RunError, StorageError
from mlplab.runs.record import Record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LEDGER = "ledger.jsonl"


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
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its place when the block ends without an exception."""
    with storage(str(path)):
        # Not tempfile's: its files are the owner's alone, whatever the umask says.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
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
    with storage(str(path)), path.open("a+b") as file:
        line = json.dumps(row).encode() + b"\n"
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines; a line torn by a crash is left out."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def check_name(name: str) -> str:
    """Return ``name`` if it can name a run.

    Raises:
        RunError: if it has other than letters, digits, dot, dash and underscore, or is too long.
    """
    if not NAME.fullmatch(name):
        raise RunError(
            f"{name!r} cannot be a run's name: use up to 128 letters, digits, '.', '-' and '_',"
            " the first a letter or digit"
        )
    return name


def create(runs_dir: Path, name: str) -> Path:
    """Make a new, empty run folder; a number is appended where the name is taken.

    Raises:
        RunError: if the name cannot be one.
        StorageError: if the runs folder cannot be written.
    """
    check_name(name)
    with storage(f"the runs folder {runs_dir} (choose another with --runs-dir)"):
        runs_dir.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 10_000):
            folder = runs_dir / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    raise RunError(f"too many runs are called {name}")


def write_record(folder: Path, record: Record) -> None:
    """Write ``record.json`` atomically."""
    write_text(folder / "record.json", json.dumps(record.to_json(), indent=1) + "\n")


def read_record(folder: Path) -> Record:
    """Read ``record.json``.

    Raises:
        RunError: if it is missing or damaged.
    """
    path = folder / "record.json"
    try:
        tables = json.loads(path.read_text("utf-8"))
        return Record.from_json(tables)
    except OSError as error:
        raise RunError(f"{folder} is not a run: {error.strerror}: {path.name}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        detail = (
            f"{len(error.errors())} facts wrong" if isinstance(error, ValidationError) else error
        )
        raise RunError(f"{path} is damaged: {detail}") from None


def write_predictions(
    folder: Path,
    split: str,
    probabilities: NDArray[np.float32],
    labels: Any,
    index: Any,
    probabilities_tta: NDArray[np.float32] | None = None,
) -> None:
    """Write ``predictions-<split>.npz``: float32 [n, classes], int32 [n], int64 [n].

    ``probabilities_tta``, averaged over views, is float32 [n, classes] as well.
    """
    arrays = {"probabilities": probabilities, "labels": labels, "index": index}
    if probabilities_tta is not None:
        arrays["probabilities_tta"] = probabilities_tta
    with atomic(folder / f"predictions-{split}.npz") as file:
        np.savez_compressed(file, **arrays)


def read_predictions(folder: Path, split: str) -> dict[str, NDArray[Any]]:
    """Return ``probabilities``, ``labels`` and ``index`` of a split, and any ``probabilities_tta``.

    Raises:
        RunError: if the split was not evaluated or the file is damaged.
    """
    path = folder / f"predictions-{split}.npz"
    if not path.exists():
        raise RunError(
            f"{folder.name} has no predictions on {split};"
            f" `mlplab evaluate {folder.name} --split {split}` makes them"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("probabilities", "labels", "index")}
            return arrays | {key: file[key] for key in file.files if key == "probabilities_tta"}
    except Exception as error:  # a damaged zip can raise nearly anything
        raise RunError(f"{path} is damaged: {error}") from None


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a run folder, but for the record itself."""
    result: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative != "record.json" and not path.name.startswith("."):
            with path.open("rb") as file:
                result[relative] = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    return result


def folders(runs_dir: Path) -> list[Path]:
    """Return the run folders, in the order of their names."""
    return sorted(path.parent for path in runs_dir.glob("*/record.json"))


def _started(folder: Path) -> tuple[str, str]:
    """Return what sorts runs by age; a damaged record counts as the oldest."""
    try:
        return read_record(folder).started, folder.name
    except RunError:
        return "", folder.name


def find(runs_dir: Path, query: str) -> Path:
    """Return the folder of a run by its name, a unique prefix of it, its path, or ``last``.

    Raises:
        RunError: if no run or more than one fits.
    """
    if (Path(query) / "record.json").is_file():
        return Path(query)
    if NAME.fullmatch(query) and (runs_dir / query / "record.json").is_file():
        return runs_dir / query
    known = folders(runs_dir)
    if not known:
        raise RunError(f"there are no runs in {runs_dir}; train one, or name its place: --runs-dir")
    if query == "last":
        return max(known, key=_started)
    fits = [folder for folder in known if folder.name.startswith(query)] if query else []
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(folder.name for folder in fits[:4])
        more = f" and {len(fits) - 4} more" if len(fits) > 4 else ""
        raise RunError(f"'{query}' is the beginning of {len(fits)} runs: {names}{more}")
    raise RunError(f"no run in {runs_dir} is called '{query}'; `mlplab runs` lists them")


def open_test(runs_dir: Path, record: Record, openings: int = 1) -> dict[str, int]:
    """Enter openings of the test split in the ledger of the runs folder and return its count."""
    path = runs_dir / LEDGER
    try:
        with storage(str(path)), FileLock(runs_dir / ".ledger.lock", timeout=30):
            row = {
                "data_id": record.data_id,
                "config_id": record.config_id,
                "run": record.name,
                "openings": openings,
            }
            append_line(path, row)
    except Timeout:
        raise StorageError(f"the ledger {path} is locked by another program") from None
    return ledger(runs_dir, record.data_id)


def ledger(runs_dir: Path, data_id: str) -> dict[str, int]:
    """Return how often a data set's test split was opened, and by how many configurations."""
    rows = [row for row in read_lines(runs_dir / LEDGER) if row.get("data_id") == data_id]
    return {
        "openings": sum(int(row.get("openings", 0)) for row in rows),
        "configurations": len({row.get("config_id") for row in rows}),
    }
