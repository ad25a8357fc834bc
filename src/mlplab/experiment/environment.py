"""The environment of a run: versions, device, memory, the state of the code."""

import os
import platform
import subprocess
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("mlplab", "keras", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "pillow")

BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of processors that multiply bfloat16, x86 and Arm."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a result."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache
def _version(package: str) -> str:
    return metadata.version(package)


def device(count: int = 1) -> dict[str, Any]:
    """Return kind, name and count of the devices in use, and the threads that bits depend on."""
    devices = jax.devices()
    kind = devices[0].platform
    name = _processor() if kind == "cpu" else devices[0].device_kind
    return {"kind": kind, "name": name, "count": count, "threads": _threads()}


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    """Return what Linux reports for the first core under one of some keys; elsewhere nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(keys)), "")


def precision_note(precision: str, flags: Collection[str] | None = None) -> str | None:
    """Return a note if this machine is slower at a precision, or ``None``.

    Args:
        precision: of a training.
        flags: of the processor; by default those that the system reports, if any.
    """
    if precision != "bfloat16" or jax.default_backend() != "cpu":
        return None
    flags = _cpuinfo("flags", "Features").split() if flags is None else flags
    if not flags or BFLOAT16.intersection(flags):
        return None
    return (
        "this processor has no instructions for bfloat16, which is most likely slower here:"
        " try training.precision=float32"
    )


def peak_memory_bytes() -> int:
    """Return the peak memory of this process so far, as the system counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def git() -> dict[str, Any]:
    """Return commit and cleanness of the working tree that contains mlplab or the user's code."""
    for folder in (Path(__file__).parent, Path.cwd()):
        try:
            commit = _git(folder, "rev-parse", "HEAD")
            return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
        except (OSError, subprocess.SubprocessError):
            continue
    return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    # Without its optional lock git only reads: it does not write the index of the user's tree. A
    # monitor is a program that the tree's own configuration names.
    options = ["--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    done = subprocess.run(
        ["git", *options, *arguments], capture_output=True, timeout=10, check=True
    )
    return done.stdout.decode(errors="replace").strip()


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
