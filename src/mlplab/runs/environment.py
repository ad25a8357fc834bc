"""Where a run took place: versions, device, memory, the state of the code."""

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("mlplab", "keras", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "pillow")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache
def _version(package: str) -> str:
    return metadata.version(package)


def device(count: int = 1) -> dict[str, Any]:
    """Return kind, name and count of the devices in use, and the threads that bits depend on."""
    import jax

    devices = jax.devices()
    kind = devices[0].platform
    name = _processor() if kind == "cpu" else devices[0].device_kind
    return {"kind": kind, "name": name, "count": count, "threads": _threads()}


def _threads() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far, as the system counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def git() -> dict[str, Any]:
    """Return commit and cleanness of the working tree that mlplab or the user's code lies in."""
    for folder in (Path(__file__).parent, Path.cwd()):
        try:
            commit = _git(folder, "rev-parse", "HEAD")
            return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
        except (OSError, subprocess.SubprocessError):
            continue
    return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    # Without its optional lock git only looks: it does not write the index of somebody's tree.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
