"""Runs at trackio, in ``TRACKIO_DIR`` or where ``TRACKIO_SERVER_URL`` says."""

import builtins
import threading
from collections.abc import Mapping
from typing import Any

import trackio
import trackio.run
import trackio.utils

from mlplab.tracking.messenger import THREADS
from mlplab.tracking.trackers import Facts


class Run:
    """A run at trackio, which finds it again by its name; see ``Tracker``.

    Args:
        run: of ``trackio.init``.
    """

    def __init__(self, run: Any) -> None:
        self.run, self.id = run, str(run.name)

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Add the metrics of an epoch."""
        self.run.log(dict(row), step=step)

    def end(self, metrics: Mapping[str, float], step: int, status: str) -> None:
        """Add the final metrics and the status."""
        self.run.log({**metrics, "status": status}, step=step)
        self.run.finish()


def begin(facts: Facts, known: str | None) -> Run:
    """Start a run, or continue one; see ``trackers.begin``."""
    for module in (trackio, trackio.run, trackio.utils):
        vars(module)["print"] = _quiet_print
    return Run(
        trackio.init(
            project=facts.project,
            name=known or facts.name,
            resume="never" if known is None else "allow",
            config={**facts.settings, "config_id": facts.config_id, "seed": facts.seed},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
    )


def _quiet_print(*parts: Any, **options: Any) -> None:
    """Print, except in a tracker's thread: standard output is for results."""
    if not threading.current_thread().name.startswith(THREADS):
        builtins.print(*parts, **options)
