"""When checkpoints are written, and what they contain besides a training's arrays."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mlplab.runs import checkpoint
from mlplab.runs.checkpoint import Checkpoint, RunState, TrainingState

WITHIN = 10  # times the interval at the ends of epochs

# Keras sets these again.
NOT_OWN = {"params", "_model"}
NOT_OWN_BY_CLASS: dict[type, set[str]] = {
    # Its sign is flipped when the direction of the metric is first needed.
    keras.callbacks.EarlyStopping: {"min_delta"},
    keras.callbacks.ReduceLROnPlateau: {"min_delta"},
    keras.callbacks.ModelCheckpoint: {"min_delta"},
    # What was written is in its file.
    keras.callbacks.CSVLogger: {"append", "append_header"},
}


class Keeper:
    """Writes checkpoints of one training, not too often.

    Args:
        path: of the checkpoint; each replaces the previous one once it is complete.
        run_state: called for the state of the run apart from its training.
        seconds: minimum time between two checkpoints at the ends of epochs; within an epoch, ten
            times that.
    """

    def __init__(self, path: Path, run_state: Callable[[], RunState], seconds: float) -> None:
        self.path = path
        self.run_state = run_state
        self.seconds = seconds
        self.last = time.monotonic()  # not the wall clock, which may jump

    def due(self, within_epoch: bool) -> bool:
        """Return whether it is time for another."""
        least = self.seconds * (WITHIN if within_epoch else 1)
        return time.monotonic() - self.last >= least

    def keep(self, training: TrainingState) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: if the disk is full or the folder cannot be written; the previous
                checkpoint is then still there.
        """
        checkpoint.write(self.path, Checkpoint(run=self.run_state(), training=training))
        self.last = time.monotonic()


def callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's state: each attribute that a checkpoint can hold.

    Files, functions and other objects are left out: a callback creates them again when training
    starts. A callback can instead define ``get_state()``, which returns a table, and
    ``set_state(table)``.
    """
    if hasattr(callback, "get_state"):
        return {"own": callback.get_state()}
    set_again = NOT_OWN.union(*(v for k, v in NOT_OWN_BY_CLASS.items() if isinstance(callback, k)))
    return {
        key: value
        for key, value in vars(callback).items()
        if key not in set_again and not _is_setting(callback, value) and checkpoint.can_hold(value)
    }


def restore_callback(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    """Restore what :func:`callback_state` returned to a callback whose training has restarted."""
    if hasattr(callback, "set_state"):
        callback.set_state(state["own"])
        return
    own = callback_state(callback)
    for key, value in state.items():
        if key.startswith("__") or (_is_known(callback) and key not in own):
            continue
        if not _is_setting(callback, value):
            setattr(callback, key, value)


def _is_setting(callback: keras.callbacks.Callback, value: Any) -> bool:
    """Return whether a value is a string in a callback of Keras's or ours, whose state is numbers.

    Their strings, such as paths, come from the recipe, whatever a foreign checkpoint says.
    """
    return _is_known(callback) and isinstance(value, str)


def _is_known(callback: keras.callbacks.Callback) -> bool:
    return type(callback).__module__.partition(".")[0] in ("keras", "mlplab")


def random_state() -> dict[str, Any]:
    """Return the state of Python's and NumPy's global generators, which a user's code may use."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {"python": [version, list(words), gauss], "numpy": [name, keys, *rest]}


def restore_random(state: dict[str, Any]) -> None:
    """Restore both generators to what :func:`random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(state["numpy"]))
