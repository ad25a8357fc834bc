"""The runs folder: run folders written so that a crash at any moment leaves them readable.

Whole files are written aside and renamed; ``metrics.jsonl`` and the ledger grow by whole lines, and
a torn last line is ignored.
"""

import errno
import hashlib
import json
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
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
CHECKPOINT = "training.npz"  # in checkpoint/
OWNER = ".owner.json"
KILLED = "Its process ended without a word; `mlplab resume` goes on with it"


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


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the one who writes into a run folder, until the block ends or the process dies.

    The system gives the lock back when its owner dies, however that was; ``.owner.json`` says who
    that is.

    Raises:
        RunError: if another process, or this one elsewhere, is writing there.
        StorageError: if the folder cannot be written.
    """
    lock = _lock(folder)
    with storage(str(folder)):
        try:
            lock.acquire(timeout=1)  # who only looks whether it is free holds it for a moment
        except Timeout:
            owner = owner_of(folder)
            raise RunError(f"{folder.name} is being written by {owner}; wait for it") from None
    try:
        owner_facts = {"process": os.getpid(), "host": platform.node()}
        write_text(folder / OWNER, json.dumps(owner_facts) + "\n")
        yield
    finally:
        (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ".lock", is_singleton=False)


def owner_of(folder: Path) -> str:
    """Return in words who writes into a run folder, as far as that is known."""
    try:
        owner = json.loads((folder / OWNER).read_text("utf-8"))
        return f"process {int(owner['process'])} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def is_written(folder: Path) -> bool:
    """Return whether some process is writing into a run folder now."""
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False  # a folder that nobody here can write
    lock.release()
    return False


def write_record(folder: Path, record: Record) -> None:
    """Write ``record.json`` atomically."""
    write_text(folder / "record.json", json.dumps(record.to_json(), indent=1) + "\n")


def read_record(folder: Path) -> Record:
    """Read ``record.json``; a run that says it is running, and that nobody writes, was interrupted.

    Raises:
        RunError: if it is missing or damaged.
    """
    path = folder / "record.json"
    try:
        tables = json.loads(path.read_text("utf-8"))
        record = Record.from_json(tables)
    except OSError as error:
        raise RunError(f"{folder} is not a run: {error.strerror}: {path.name}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        detail = (
            f"{len(error.errors())} facts wrong" if isinstance(error, ValidationError) else error
        )
        raise RunError(f"{path} is damaged: {detail}") from None
    if record.status == "running" and not is_written(folder):
        # Its process was killed, or the machine went down: it could not say so itself.
        return record.model_copy(update={"status": "interrupted", "reason": KILLED})
    return record


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
        hidden = path.name.startswith(".") or relative.startswith("checkpoint/")
        if path.is_file() and relative != "record.json" and not hidden:
            result[relative] = digest(path) or ""
    return result


def digest(path: Path) -> str | None:
    """Return the SHA-256 of a file as records have it, or ``None`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def inside(folder: Path, name: str) -> bool:
    """Return whether a path that a file names lies in a folder, links followed."""
    return (folder / name).resolve().is_relative_to(folder.resolve())


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
