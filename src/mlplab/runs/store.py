"""The runs folder: names of runs, their records and their predictions."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mlplab import files
from mlplab.errors import RunError, nearest
from mlplab.recipes.recipe import SecondTest, SplitName
from mlplab.runs import layout, lock
from mlplab.runs.record import UNFINISHED, Record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SPLITS: tuple[SplitName | SecondTest, ...] = (*get_args(SplitName), *get_args(SecondTest))
OPTIONAL = ("probabilities_tta", "files")
"""Arrays that not all predictions have."""
LAST = "last"
"""Finds the latest run."""
LARGEST_RECORD = 2**25
"""Bytes; the metrics of a thousand classes take 1 MB."""
KILLED = "The process died without recording why; `mlplab resume` continues it."


def check_name(name: str) -> str:
    """Return ``name`` if it can name a run.

    Raises:
        RunError: if it has other characters than letters, digits, dot, dash and underscore, is
            too long, or is ``last``.
    """
    if not NAME.fullmatch(name):
        raise RunError(
            f"{name!r} cannot be a run's name: use up to 128 letters, digits, '.', '-' and '_',"
            " the first a letter or digit"
        )
    if name == LAST:
        raise RunError(f"'{LAST}' stands for the latest run; choose another name")
    return name


def name_from(text: str, otherwise: str) -> str:
    """Return text as the start of a run's name: what cannot be in one becomes a dash."""
    if NAME.fullmatch(text):
        return text
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or otherwise


def create(runs_dir: Path, name: str) -> Path:
    """Make a new, empty run folder; a number is appended where the name is taken.

    Raises:
        RunError: if the name is not allowed.
        StorageError: if the runs folder cannot be written.
    """
    check_name(name)
    with files.storage(f"the runs folder {runs_dir} (choose another with --runs-dir)"):
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
    """Write ``record.json`` atomically, with a digest of its content."""
    tables = record.to_json()
    tables["digest"] = _digest(tables)
    files.write_text(folder / layout.RECORD, json.dumps(tables, indent=1) + "\n")


def is_as_written(folder: Path) -> bool:
    """Return whether a readable ``record.json`` is as :func:`write_record` wrote it."""
    tables = json.loads(files.text(folder / layout.RECORD, LARGEST_RECORD))
    return bool(tables.pop("digest", None) == _digest(tables))


def read_own_record(folder: Path) -> Record:
    """Read ``record.json`` in order to rewrite it.

    Raises:
        RunError: as :func:`read_record`; or if it was changed by hand, since the new digest would
            cover the change.
    """
    record = read_record(folder)
    if not is_as_written(folder):
        raise RunError(
            f"{folder / layout.RECORD} is not as mlplab wrote it. Restore a copy of it, or train"
            f" the run again: {record.command or 'mlplab train'}"
        )
    return record


def _digest(tables: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(tables).encode()).hexdigest()


def read_record(folder: Path) -> Record:
    """Read ``record.json``; a run recorded as running that no process writes was interrupted.

    A run is called what its folder is called, also after the folder was renamed or copied.

    Raises:
        RunError: if it is missing or damaged.
    """
    path = folder / layout.RECORD
    try:
        tables = json.loads(files.text(path, LARGEST_RECORD))
        record = Record.from_json(tables)
    except OSError as error:
        raise RunError(f"{folder} is not a run: {error.strerror}: {path.name}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        detail = (
            f"{len(error.errors())} facts wrong" if isinstance(error, ValidationError) else error
        )
        raise RunError(f"{path} is damaged: {detail}") from None
    record.name = folder.name
    if record.status == "running" and not lock.is_written(folder):
        # Its process was killed, or the machine went down, so it could not record that itself.
        return record.model_copy(update={"status": "interrupted", "reason": KILLED})
    return record


def check_own(folder: Path, record: Record, *names: str) -> None:
    """Refuse files that are not the run's own: their content would count as its result.

    Raises:
        RunError: naming the file.
    """
    for name in names:
        recorded = record.files.get(name)
        if recorded is not None and files.digest(folder / name) not in (None, recorded):
            raise RunError(
                f"{folder.name}: {name} is not the file that was recorded. Restore a copy of that,"
                f" or train again: {record.command}"
            )


def write_predictions(
    folder: Path,
    split: str,
    probabilities: NDArray[np.float32],
    labels: Any,
    index: Any,
    probabilities_tta: NDArray[np.float32] | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write ``predictions-<split>.npz``: float32 [n, classes], int32 [n], int64 [n].

    ``probabilities_tta``, averaged over views, is float32 [n, classes] as well. ``names``, written
    as ``files`` if there are any, are the images' files, str [n].
    """
    arrays = {"probabilities": probabilities, "labels": labels, "index": index}
    if names is not None:
        arrays["files"] = np.array(names, np.str_)
    if probabilities_tta is not None:
        arrays["probabilities_tta"] = probabilities_tta
    with files.atomic(folder / layout.predictions(split)) as file:
        np.savez_compressed(file, **arrays)


def read_predictions(folder: Path, split: str) -> dict[str, NDArray[Any]]:
    """Return ``probabilities``, ``labels`` and ``index``; ``probabilities_tta``, ``files`` if any.

    Raises:
        RunError: if there is no such split, it was not evaluated, or the file is damaged.
    """
    if split not in SPLITS:
        raise RunError(f"no split is called '{split}'{nearest(split, SPLITS)}")
    path = folder / layout.predictions(split)
    if not path.exists():
        raise RunError(
            f"{folder.name} has no predictions on {split};"
            f" `mlplab evaluate {folder.name} --split {split}` makes them"
        )
    try:
        arrays = files.arrays(path)
        optional = {key: arrays[key] for key in OPTIONAL if key in arrays}
        return {key: arrays[key] for key in ("probabilities", "labels", "index")} | optional
    except Exception as error:  # a damaged zip can raise nearly anything
        raise RunError(f"{path} is damaged: {error}") from None


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a run folder except the record itself."""
    return {name: files.digest(folder / name) or "" for name in contents(folder)}


def contents(folder: Path) -> list[str]:
    """Return the paths of the files in a run folder that its record lists."""
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        passing = path.name.startswith(".") or name.startswith(f"{layout.CHECKPOINTS}/")
        if path.is_file() and name not in (layout.RECORD, layout.PROGRESS) and not passing:
            names.append(name)
    return names


def folders(runs_dir: Path) -> list[Path]:
    """Return the run folders, in the order of their names."""
    return sorted(path.parent for path in runs_dir.glob(f"*/{layout.RECORD}"))


def _started(folder: Path) -> tuple[str, str]:
    """Return the key that sorts runs by age; a damaged record counts as the oldest."""
    try:
        return read_record(folder).started, folder.name
    except RunError:
        return "", folder.name


def _is_unfinished(folder: Path) -> bool:
    try:
        return read_record(folder).status in UNFINISHED
    except RunError:
        return False


def find(runs_dir: Path, query: str, unfinished: bool = False) -> Path:
    """Return the folder of a run by its name, a unique prefix of it, its path, or ``last``.

    Args:
        runs_dir: where to look.
        query: name, prefix, path or ``last``.
        unfinished: whether ``last`` is the last of the runs that can be resumed.

    Raises:
        RunError: if no run or more than one matches.
    """
    if ((path := files.expanded(query)) / layout.RECORD).is_file():
        return path.resolve() if path.name in ("", "..") else path  # a run has a name
    if NAME.fullmatch(query) and (runs_dir / query / layout.RECORD).is_file():
        return runs_dir / query
    if NAME.fullmatch(query) and is_study(runs_dir / query):
        raise RunError(
            f"{query} is a study, not a run: `mlplab report` and `mlplab compare` take it, and the"
            " command that started it continues it"
        )
    known = folders(runs_dir)
    if not known:
        raise RunError(f"there are no runs in {runs_dir}; train one, or pass --runs-dir")
    if query == LAST:
        wanted = [folder for folder in known if not unfinished or _is_unfinished(folder)]
        if not wanted:
            raise RunError(f"every run in {runs_dir} has ended: there is nothing to resume")
        return max(wanted, key=_started)
    fits = [folder for folder in known if folder.name.startswith(query)] if query else []
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(folder.name for folder in fits[:4])
        more = f" and {len(fits) - 4} more" if len(fits) > 4 else ""
        raise RunError(f"'{query}' matches {len(fits)} runs: {names}{more}")
    raise RunError(f"no run in {runs_dir} is called '{query}'; `mlplab runs` lists them")


def is_study(folder: Path) -> bool:
    """Return whether a folder in the runs folder is a study; its runs are two folders deeper."""
    return (folder / layout.STUDY).is_file()
