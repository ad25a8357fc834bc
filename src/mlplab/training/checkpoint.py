"""A training on disk, whole, so that it can go on as if nothing had happened.

A checkpoint is one nested value of numbers, words, lists, tables and arrays, written as a NumPy
archive: arrays as they are, all else as JSON, no pickles, a checksum for each part.
"""

import json
import random
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from mlplab import files
from mlplab.errors import RunError
from mlplab.files import atomic, storage

FORMAT = 1
"""Raised when what a checkpoint holds, or what it means, changes."""

WITHIN = 10  # within an epoch checkpoints are so many times as far apart as at epochs' ends

# Keras sets these anew.
NOT_OWN = {"params", "_model"}
NOT_OWN_BY_CLASS: dict[type, set[str]] = {
    # Its sign is turned when the direction of the metric is first needed.
    keras.callbacks.EarlyStopping: {"min_delta"},
    keras.callbacks.ReduceLROnPlateau: {"min_delta"},
    keras.callbacks.ModelCheckpoint: {"min_delta"},
    # What was written lies in its file.
    keras.callbacks.CSVLogger: {"append", "append_header"},
}


REMEDY = "remove it, and `mlplab resume` starts the run from its begin"


class _Facts(BaseModel):
    """What a checkpoint tells of the run."""

    model_config = ConfigDict(extra="forbid")
    recipe: dict[str, Any]
    data_id: str
    versions: dict[str, str]
    device: dict[str, Any]
    test_openings: NonNegativeInt
    seconds: NonNegativeFloat
    sizes: dict[str, NonNegativeInt]


class _Training(BaseModel):
    """What a checkpoint tells of the training: arrays are checked when they are assigned."""

    model_config = ConfigDict(extra="forbid")
    epoch: NonNegativeInt
    done: NonNegativeInt
    over: bool
    state: list[list[Any]]
    good: Any
    trained: list[Any]
    rows: list[dict[str, float]]
    rewinds: list[dict[str, float]]
    logs: dict[str, float]
    rate: float
    callbacks: list[dict[str, Any]]
    random: dict[str, list[Any]]

    @model_validator(mode="after")
    def _fits_together(self) -> "_Training":
        if self.epoch != len(self.rows):
            raise ValueError("as many rows as epochs")
        if any(not {"epoch", "loss", "seconds"} <= row.keys() for row in self.rows):
            raise ValueError("rows that lack a column")
        return self


class _Parts(BaseModel):
    """A checkpoint."""

    model_config = ConfigDict(extra="forbid")
    run: _Facts
    training: _Training


class Keeper:
    """Writes checkpoints of one training, not too often.

    Args:
        path: of the checkpoint; each takes the place of the one before when it is whole.
        facts: called for what is to be known of the run beside the training itself.
        seconds: least time from one to the next at the end of epochs; within an epoch ten times
            as much.
    """

    def __init__(self, path: Path, facts: Callable[[], dict[str, Any]], seconds: float) -> None:
        self.path = path
        self.facts = facts
        self.seconds = seconds
        self.last = time.monotonic()  # not of the clock on the wall, which may jump

    def due(self, within_epoch: bool) -> bool:
        """Return whether it is time for another."""
        least = self.seconds * (WITHIN if within_epoch else 1)
        return time.monotonic() - self.last >= least

    def keep(self, training: dict[str, Any]) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: if the disk is full or the folder cannot be written; the checkpoint
                before is still there then.
        """
        with storage(str(self.path.parent)):
            self.path.parent.mkdir(exist_ok=True)
        write(self.path, {"run": self.facts(), "training": training})
        self.last = time.monotonic()


def write(path: Path, value: dict[str, Any]) -> None:
    """Write a checkpoint aside, read it again, and only then put it in its place."""
    arrays: list[Any] = []
    packed = json.dumps({"format": FORMAT, **_packed(value, arrays)["table"]}).encode()
    with atomic(path, check=verify) as file:
        named = {str(number): array for number, array in enumerate(arrays)}
        np.savez(file, allow_pickle=False, facts=np.frombuffer(packed, np.uint8), **named)


def verify(path: Path) -> None:
    """Raise ``OSError`` if a part of the file does not agree with its checksum."""
    with zipfile.ZipFile(path) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise OSError(f"what was written reads otherwise: {torn}")


def read(path: Path) -> dict[str, Any]:
    """Return the value of :func:`write`.

    Raises:
        RunError: if the file is damaged, or of another version of mlplab.
    """
    try:
        found = files.arrays(path)
        packed = json.loads(found["facts"].tobytes())
        version = packed.pop("format")
        arrays = [found[str(number)] for number in range(len(found) - 1)]
        value: dict[str, Any] = _unpacked({"table": packed}, arrays)
    except Exception as error:  # a damaged zip can raise nearly anything
        raise RunError(f"the checkpoint {path} is damaged: {error}; {REMEDY}") from None
    if version != FORMAT:
        raise RunError(f"the checkpoint {path} is of another version of mlplab; {REMEDY}")
    return value


def read_training(path: Path) -> dict[str, Any]:
    """Return what a :class:`Keeper` wrote: ``run`` and ``training``.

    Raises:
        RunError: as :func:`read`, or if the parts are not those of a training.
    """
    value = read(path)
    try:
        _Parts.model_validate(value, strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RunError(f"the checkpoint {path} is damaged: {where} is wrong; {REMEDY}") from None
    return value


class _OpaqueError(Exception):
    pass


def _packed(value: Any, arrays: list[Any]) -> Any:
    """Return a value as JSON can hold it, its arrays moved to the list."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise _OpaqueError
        arrays.append(array)
        return {"array": len(arrays) - 1}
    if isinstance(value, list | tuple):
        return [_packed(item, arrays) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"table": {key: _packed(item, arrays) for key, item in value.items()}}
    raise _OpaqueError


def _unpacked(value: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {key: _unpacked(item, arrays) for key, item in value["table"].items()}


def callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return what a callback has gathered: each attribute that a checkpoint can hold.

    Files, functions and other objects are left out: a callback makes them anew when training
    begins. One that knows better has methods ``get_state()``, which returns a table, and
    ``set_state(table)``.
    """
    if hasattr(callback, "get_state"):
        return {"own": callback.get_state()}
    state = {}
    made_anew = NOT_OWN.union(*(v for k, v in NOT_OWN_BY_CLASS.items() if isinstance(callback, k)))
    for key, value in vars(callback).items():
        try:
            _packed(value, [])
        except _OpaqueError:
            continue
        if key not in made_anew and not _is_setting(callback, value):
            state[key] = value
    return state


def _is_setting(callback: keras.callbacks.Callback, value: Any) -> bool:
    """Return whether a value is a word in a callback of Keras's or ours: these gather numbers.

    Their words, paths among them, are the recipe's, whatever a checkpoint that others made says.
    """
    return _is_known(callback) and isinstance(value, str)


def _is_known(callback: keras.callbacks.Callback) -> bool:
    return type(callback).__module__.partition(".")[0] in ("keras", "mlplab")


def restore_callback(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    """Give a callback, whose training has begun anew, what :func:`callback_state` returned."""
    if hasattr(callback, "set_state"):
        callback.set_state(state["own"])
        return
    own = callback_state(callback)
    for key, value in state.items():
        if key.startswith("__") or (_is_known(callback) and key not in own):
            continue
        if not _is_setting(callback, value):
            setattr(callback, key, value)


def random_state() -> dict[str, Any]:
    """Return the state of Python's and NumPy's global generators, which a user's code may use."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {"python": [version, list(words), gauss], "numpy": [name, keys, *rest]}


def restore_random(state: dict[str, Any]) -> None:
    """Set both generators to what :func:`random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(state["numpy"]))
