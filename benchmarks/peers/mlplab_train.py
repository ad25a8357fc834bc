"""``mlplab train`` as it stands, both in its imports and in its work, observed from inside.

Settings: ``scratch``, a folder for the runs; ``recipe``; ``overrides``; ``until``: ``first step``
(exit there), or ``turns`` (run an epoch when asked). An epoch is timed from one epoch's row to the
next: it includes the callbacks of the previous epoch, the steps and the validation.
"""

import os
import time
from pathlib import Path

from turns import say, settings, wait

import mlplab
from mlplab import cli, recipes  # noqa: F401  the command imports all of this
from mlplab.experiment.options import Options

ASKED = {"recipe": "published", "overrides": []} | settings()


class FirstSteps:
    """Reports the first step, or waits for its turn after each epoch."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()

    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
        if ASKED["until"] == "first step":
            say(first_step=True, at=time.time(), steps=done)
            os._exit(0)

    def on_row(self, row: dict[str, float]) -> None:
        say(seconds=time.perf_counter() - self.begun, loss=row["loss"])
        wait()
        self.begun = time.perf_counter()

    def on_note(self, text: str) -> None: ...


def main() -> None:
    """Train once."""
    overrides = list(ASKED["overrides"])
    if ASKED["until"] == "turns":
        say(ready=True, versions={"mlplab": mlplab.__version__})
        wait()
        overrides += ["training.epochs=1000", "callbacks.early_stopping.patience=1000"]
    from mlplab.experiment import execute

    options = Options(runs_dir=Path(ASKED["scratch"]), recipe_name=ASKED["recipe"])
    execute.run(recipes.load(ASKED["recipe"], overrides), options, FirstSteps())


main()
