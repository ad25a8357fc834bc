"""One writer at a time for each run folder."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlplab import files
from mlplab.errors import RunError
from mlplab.runs import layout


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the write lock of a run folder until the block ends or the process dies.

    The system releases the lock when its owner dies, however that happens; ``.owner.json`` names
    the owner.

    Raises:
        RunError: if another process, or this one elsewhere, is writing there, or if there is a link
            in the folder: mlplab creates none, and would write wherever it leads.
        StorageError: if the folder cannot be written.
    """
    link = next((path for path in (folder, *folder.rglob("*")) if path.is_symlink()), None)
    if link is not None:
        raise RunError(f"{link} is a link, which mlplab does not make; remove it")
    lock = _lock(folder)
    with files.storage(str(folder)):
        try:
            lock.acquire(timeout=1)  # a check whether it is free holds it for a moment
        except Timeout:
            owner = owner_of(folder)
            raise RunError(f"{folder.name} is being written by {owner}; wait for it") from None
    try:
        owner_facts = {"process": os.getpid(), "host": platform.node()}
        files.write_text(folder / layout.OWNER, json.dumps(owner_facts) + "\n")
        yield
    finally:
        (folder / layout.OWNER).unlink(missing_ok=True)
        lock.release()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / layout.LOCK, is_singleton=False)


def _owner(folder: Path) -> dict[str, Any] | None:
    """Return process and host of who writes into a run folder, as far as known."""
    try:
        owner = json.loads(files.text(folder / layout.OWNER, 10_000))
        return {"process": int(owner["process"]), "host": str(owner["host"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_own(folder: Path) -> bool:
    """Return whether this process is writing into a run folder."""
    return _owner(folder) == {"process": os.getpid(), "host": platform.node()}


def owner_of(folder: Path) -> str:
    """Return a description of the process that writes into a run folder, as far as known."""
    owner = _owner(folder)
    return f"process {owner['process']} on {owner['host']}" if owner else "another process"


def owner_process(folder: Path) -> int:
    """Return the process of this machine that is writing into a run folder.

    Raises:
        RunError: if none is, or it is on another machine.
    """
    if not is_written(folder):
        raise RunError(f"{folder.name} is not being trained")
    owner = _owner(folder)
    if owner is not None and owner["host"] == platform.node():
        return int(owner["process"])
    raise RunError(f"{folder.name} is being written by {owner_of(folder)}; stop it there")


def is_written(folder: Path) -> bool:
    """Return whether a process is writing into a run folder now."""
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False  # not writable, so nobody here writes it
    lock.release()
    return False
