"""Checks of run folders against their records, and their removal.

Nothing outside the runs folder is ever touched: a run that is a link elsewhere is refused, and
links inside a run are removed, not followed.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlplab import files
from mlplab.errors import RunError
from mlplab.runs import checkpoint, layout, lock, store
from mlplab.runs.record import ENDED, UNFINISHED

# Left behind by a killed write: .record.json.0123456789abcdef
TORN = re.compile(rf"\..+\.[0-9a-f]{{16}}|{re.escape(layout.SAVING)}")


@dataclass(frozen=True)
class Check:
    """What is wrong with a run's files.

    Attributes:
        name: of the run.
        problems: one line each; empty if every file is as recorded.
        files: number of files compared with their hashes.
        unknown: paths in the folder that the record does not name.
    """

    name: str
    problems: tuple[str, ...]
    files: int = 0
    unknown: tuple[str, ...] = ()


def check(folder: Path) -> Check:
    """Compare every file of a run with the hash in its record, and the record with its own.

    If the run can be resumed, its checkpoint is checked too; while it is running, only its record.
    """
    try:
        record = store.read_record(folder)
    except RunError as error:
        return Check(folder.name, (str(error),))
    problems = []
    if not store.is_as_written(folder):
        problems.append(f"{layout.RECORD}: damaged or changed")
    for name, recorded in record.files.items():
        path = folder / name
        if path.is_symlink():
            problems.append(f"{name}: a link, which mlplab does not make")
        elif not files.inside(folder, name):
            problems.append(f"{name}: outside the run folder")
        elif not path.is_file():
            problems.append(f"{name}: missing")
        elif (found := files.digest(path)) is None:
            problems.append(f"{name}: cannot be read")
        elif found != recorded:
            problems.append(f"{name}: damaged or changed")
    if not record.files and record.status in ENDED:
        problems.append(f"{layout.RECORD}: lists no files")
    if record.status in UNFINISHED:
        problems += _checkpoint_problems(folder)
    unknown = tuple(name for name in store.contents(folder) if name not in record.files)
    return Check(folder.name, tuple(problems), len(record.files), unknown if record.files else ())


def _checkpoint_problems(folder: Path) -> list[str]:
    path = folder / layout.CHECKPOINT
    if not path.exists():
        return []
    try:
        checkpoint.read(path)
    except RunError as error:
        return [str(error)]
    return []


def nameless(runs_dir: Path) -> list[Check]:
    """Return run folders that have lost their record, which nothing else lists."""
    return [
        Check(folder.name, (f"{layout.RECORD}: missing",))
        for folder in sorted(runs_dir.iterdir() if runs_dir.is_dir() else ())
        if (folder / layout.RECIPE).is_file()
        and not (folder / layout.RECORD).exists()
        and not _only_begun(folder)
    ]


def removable(runs_dir: Path, queries: Iterable[str]) -> list[Path]:
    """Return the folders of runs that may be removed.

    Raises:
        RunError: if one is not in the runs folder, is a link, or is being written.
    """
    found = []
    for query in queries:
        folder = store.find(runs_dir, query)
        if folder.name != Path(query).name and query != "last":
            raise RunError(
                f"no run is called '{query}'; to remove {folder.name}, give its whole name"
            )
        if folder.resolve().parent != runs_dir.resolve() or folder.is_symlink():
            raise RunError(
                f"{query} is not directly in {runs_dir}; pass its runs folder with --runs-dir, or"
                " remove it yourself"
            )
        _check_unused(folder)
        found.append(folder)
    return list(dict.fromkeys(found))


def rubbish(runs_dir: Path) -> list[Path]:
    """Return what no run needs any more.

    That is: half-written files of killed writes, checkpoints of runs that have ended, and folders
    of runs that were killed before their record was written. Runs being written are left alone.
    """
    found: list[Path] = []
    for folder in sorted(runs_dir.iterdir()) if runs_dir.is_dir() else ():
        if folder.is_symlink():
            continue
        if not folder.is_dir():
            found += [folder] if TORN.fullmatch(folder.name) else []
            continue
        has_record = (folder / layout.RECORD).exists()
        if not has_record and not _only_begun(folder):
            continue  # not mlplab's: not even checked for a lock
        if lock.is_written(folder):
            continue
        found += _inside_run(folder) if has_record else [folder]
    return found


def _only_begun(folder: Path) -> bool:
    """Return whether a folder holds at most what a run writes before its record."""
    names = {path.name for path in folder.iterdir()}
    return all(n in (layout.RECIPE, layout.LOCK, layout.OWNER) or TORN.fullmatch(n) for n in names)


def _inside_run(folder: Path) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if TORN.fullmatch(path.name) and not path.is_symlink() and path.is_file()
    ]
    try:
        ended = store.read_record(folder).status in ENDED
    except RunError:
        ended = False
    kept = folder / layout.CHECKPOINTS
    return [*found, kept] if ended and kept.is_dir() and not kept.is_symlink() else found


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links count nothing."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.lstat().st_size for file in files if not file.is_symlink())


def remove(path: Path) -> None:
    """Remove a file, or a folder with all its content; links in it are not followed.

    Raises:
        RunError: if a run is being written.
        StorageError: if the system does not allow it.
    """
    if (path / layout.RECORD).exists():
        _check_unused(path)
    with files.storage(f"{path} (to remove it)"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_unused(folder: Path) -> None:
    if lock.is_written(folder):
        raise RunError(
            f"{folder.name} is being written by {lock.owner_of(folder)}; wait for it, or stop it"
        )
