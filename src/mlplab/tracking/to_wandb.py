"""Runs at Weights & Biases, online or offline as ``WANDB_MODE`` says."""

import os
from collections.abc import Mapping
from typing import Any

import wandb

from mlplab.tracking.trackers import Facts


class Run:
    """A run at Weights & Biases; see ``Tracker``.

    Args:
        run: of ``wandb.init``.
    """

    def __init__(self, run: Any) -> None:
        self.run, self.id = run, str(run.id)

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Add the metrics of an epoch."""
        self.run.log(dict(row), step=step)

    def end(self, metrics: Mapping[str, float], step: int, status: str) -> None:
        """Add the final metrics and the status to the summary."""
        self.run.summary.update({**metrics, "status": status})
        self.run.finish(exit_code=0 if status == "finished" else 1)


def begin(facts: Facts, known: str | None) -> Run:
    """Start a run, or continue one; see ``trackers.begin``."""
    online = os.environ.get("WANDB_MODE", "online") == "online"
    if online and not wandb.api.api_key:
        # wandb would ask for it on the terminal.
        raise RuntimeError("nobody is logged in: run `wandb login`, or set WANDB_MODE=offline")
    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True)
    return Run(
        wandb.init(
            project=facts.project,
            name=facts.name,
            id=known,
            resume="allow",
            reinit="create_new",
            config={**facts.settings, "config_id": facts.config_id, "seed": facts.seed},
            tags=[facts.config_id, f"seed {facts.seed}"],
            settings=settings,
        )
    )
