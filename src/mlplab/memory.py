"""How much memory this machine can still provide, and the error when that is too little."""

import os
from collections.abc import Mapping
from pathlib import Path

from mlplab.errors import UserError
from mlplab.text import byte_size

# Limit and usage of a container, by version of cgroups; they apply whatever the machine has.
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available() -> int | None:
    """Return the bytes that this process can still use, or ``None`` if that is not known."""
    found = [_of_system(), *(_of_cgroup(*paths) for paths in CGROUPS)]
    known = [value for value in found if value is not None]
    return min(known) if known else None


def check(
    needed: Mapping[str, int], advice: str, limit: int | None, error: type[UserError]
) -> None:
    """Refuse what would not fit into memory.

    Args:
        needed: bytes, by purpose.
        advice: what to change.
        limit: bytes available; ``None`` refuses nothing.
        error: type of the error to raise.

    Raises:
        UserError: of that type, with the numbers.
    """
    total = sum(needed.values())
    if limit is None or total <= limit:
        return
    largest = sorted(needed.items(), key=lambda item: -item[1])
    parts = ", ".join(
        f"{byte_size(size)} for {what}" for what, size in largest if size >= total / 100
    )
    free = f"{byte_size(limit)} are free"
    raise error(f"this needs about {byte_size(total)} of memory ({parts}), and {free}.\n{advice}")


def _of_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return _physical()


def _physical() -> int | None:
    """Return the machine's total memory, for systems that do not report what is free."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _of_cgroup(limit: str, usage: str) -> int | None:
    try:
        # The page cache counts as used, although the kernel frees it when needed.
        return int(Path(limit).read_text("ascii")) - int(Path(usage).read_text("ascii")) // 2
    except (OSError, ValueError):  # none, or "max"
        return None
