"""The cache folder, for what can be computed again: found, kept private, and kept small."""

import os
import time
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return mlplab's cache folder: ``MLPLAB_CACHE_DIR``, or the system's usual location."""
    override = os.environ.get("MLPLAB_CACHE_DIR")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_cache_path("mlplab", appauthor=False)


def make_private(folder: Path) -> None:
    """Create a private folder in the cache; ``mkdir`` does not apply its mode to parents."""
    for part in (cache_dir(), folder):
        part.mkdir(parents=True, exist_ok=True, mode=0o700)


def mark_used(path: Path) -> None:
    """Note that a cached file was read; a read-only cache is never tidied, so it needs no note."""
    now = time.time_ns()  # the clock that files are written by has steps of milliseconds
    with suppress(OSError):
        os.utime(path, ns=(now, now))


def tidy(folder: Path, kept: int) -> None:
    """Remove the files unused for longest, and what a killed process left half-written.

    Args:
        folder: folder of ``.npz`` files.
        kept: how many of them to keep.
    """
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    yesterday = time.time() - 24 * 3600
    torn = [path for path in folder.glob(".*.npz.*") if path.stat().st_mtime < yesterday]
    for path in [*files[kept:], *torn]:
        with suppress(OSError):  # another process may be reading it, or have removed it
            path.unlink()
