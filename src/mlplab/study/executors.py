"""Where a study's runs are executed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mlplab import memory
from mlplab.runs import layout
from mlplab.study.pool import Executor, pool


@contextmanager
def opened(
    engine: Literal["local", "ray"],
    address: str | None,
    workers: int | None,
    needed: int,
    folder: Path,
    note: Callable[[str], None],
    trust: bool = False,
) -> Iterator[Executor]:
    """Yield an executor of jobs, and end it with the block.

    Args:
        engine: ``local``, processes on this machine; ``ray``, tasks on a cluster.
        address: of the cluster; ``None`` starts one on this machine.
        workers: runs at the same time; ``None`` for as many as fit.
        needed: bytes of memory that a run takes.
        folder: of the study.
        note: called with what the user should know.
        trust: the user's own code may be loaded.
    """
    count = workers or fitting(needed)
    if engine == "ray":
        from mlplab.study.cluster import cluster  # Ray is an extra

        with cluster(address, count, needed, note, trust) as ray:
            yield ray
    else:
        with pool(count, folder / layout.WORKERS_LOG) as local:
            yield local


def check(engine: Literal["local", "ray"], address: str | None) -> None:
    """Refuse a cluster that cannot be reached, before anything is written.

    Raises:
        UserError: if Ray is not installed, or nothing listens at the address.
    """
    if engine == "ray":
        from mlplab.study.cluster import knock  # Ray is an extra

        knock(address)


def fitting(needed: int) -> int:
    """Return how many runs this machine can train at once: one per core, if memory allows."""
    affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    available = memory.available()
    return cores if available is None else max(1, min(cores, available // needed))
