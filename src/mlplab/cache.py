"""The folder of what can be computed again: found, kept private, and kept small."""

import os
import time
from contextlib import suppress
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return mlplab's cache folder: ``MLPLAB_CACHE_DIR``, or the system's place for such."""
    override = os.environ.get("MLPLAB_CACHE_DIR")
    if override:
        return Path(override).expanduser()
    return platformdirs.user_cache_path("mlplab", appauthor=False)


def make_private(folder: Path) -> None:
    """Make a folder of the cache, closed to others; of ``mkdir``'s mode parents have nothing."""
    for part in (cache_dir(), folder):
        part.mkdir(parents=True, exist_ok=True, mode=0o700)


def mark_used(path: Path) -> None:
    """Note that a cached file was read; of a cache that cannot be written nothing is removed."""
    with suppress(OSError):
        os.utime(path)


def tidy(folder: Path, kept: int) -> None:
    """Remove what has been unused for longest, and what a killed process left half-written.

    Args:
        folder: of ``.npz`` files.
        kept: how many of them stay.
    """
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    yesterday = time.time() - 24 * 3600
    torn = [path for path in folder.glob(".*.npz.*") if path.stat().st_mtime < yesterday]
    for path in [*files[kept:], *torn]:
        with suppress(OSError):  # another process may be reading it, or have removed it
            path.unlink()
