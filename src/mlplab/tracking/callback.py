"""The callback that reports a run to a tracker.

A tracker never decides anything: the run does not wait for it, and does not fail because of it.
"""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from mlplab import files
from mlplab.runs import layout
from mlplab.tracking import trackers
from mlplab.tracking.messenger import Messenger
from mlplab.tracking.trackers import Facts, Service, Tracker

PATIENCE = 15.0
"""Seconds to wait at the end of a training for a tracker that has not yet answered."""
LARGEST = 10_000  # bytes of the file with the tracker's id


class Track(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports a run to a tracker: the recipe's keys, each epoch's row, and the final metrics.

    The id of the tracker's run is kept in the run folder, so that a resumed run continues it.

    Args:
        folder: of the run.
        tables: the complete recipe.
        config_id: identity of the configuration.
        to: the tracker.
        project: the name under which the tracker lists the run, an "experiment" in MLflow.
        run: the run's name there; by default the name of its folder.
        note: called once if the tracker fails; training continues.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Any],
        config_id: str,
        *,
        to: Service,
        project: str = "mlplab",
        run: str | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__()
        self.to = to
        self.note = note
        settings = trackers.flattened(tables)
        seed = int(settings.pop("seed", 0))
        self._facts = Facts(project, run or folder.name, settings, config_id, seed)
        self._path = folder / layout.TRACKING / f"{to}.json"
        self._messenger: Messenger | None = None
        self._tracker: Tracker | None = None
        self._last = 0  # epoch that the tracker knows
        self._over = False

    def get_state(self) -> dict[str, Any]:
        """Return nothing for a checkpoint: the tracker's state is in a file of the run folder."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take nothing from a checkpoint."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the tracker's run, or continue it."""
        self._messenger = Messenger(self._facts.name)
        self._messenger.send(self._begin)

    def on_row(self, row: Mapping[str, float]) -> None:
        """Report an epoch."""
        if self._messenger is None or self._over:
            return
        known = dict(row)
        self._messenger.send(lambda: self._log(known))
        self._check()

    def conclude(self, metrics: Mapping[str, Mapping[str, Any]], epochs: int, status: str) -> None:
        """Report how the run has ended, and wait for the tracker, but not for long.

        Args:
            metrics: of the record, by split.
            epochs: how many were trained.
            status: of the record.
        """
        if self._messenger is None or self._over:
            return
        numbers = trackers.final(metrics)
        self._messenger.send(lambda: self._end(numbers, epochs, status))
        done = self._messenger.finish(PATIENCE)
        self._check()
        if not done and not self._over:
            self.note(f"{self.to} does not answer; what it has not received is in the run folder")
        self._over = True

    def _check(self) -> None:
        """Say once that the tracker has failed."""
        error = self._messenger and self._messenger.error
        if error and not self._over:
            self._over = True
            self.note(
                f"{self.to} receives no more of this run, which continues: {trackers.reason(error)}"
            )

    # In the messenger's thread.

    def _begin(self) -> None:
        known = self._known()
        self._last = int(known.get("epochs", 0))
        self._tracker = trackers.begin(self.to, self._facts, known.get("id"))
        self._write()

    def _log(self, row: dict[str, float]) -> None:
        epoch = int(row.pop("epoch"))
        if self._tracker is None or epoch <= self._last:
            return  # told before the run was interrupted: it is the same again
        self._tracker.log({key: x for key, x in row.items() if math.isfinite(x)}, epoch)
        self._last = epoch
        self._write()

    def _end(self, metrics: dict[str, float], epochs: int, status: str) -> None:
        if self._tracker is not None:
            finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
            self._tracker.end(finite, epochs, status)

    def _known(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(files.text(self._path, LARGEST))
            if isinstance(found, dict) and isinstance(found.get("id"), str):
                return {"id": found["id"], "epochs": int(found.get("epochs", 0))}
        return {}

    def _write(self) -> None:
        if self._over or self._tracker is None:
            return
        self._path.parent.mkdir(exist_ok=True)
        files.write_text(self._path, json.dumps({"id": self._tracker.id, "epochs": self._last}))
