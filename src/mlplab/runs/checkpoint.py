"""``checkpoint/training.npz``: the complete state of an unfinished run, for resuming it.

A checkpoint is one nested value of numbers, strings, lists, tables and arrays, written as a NumPy
archive: arrays as they are, everything else as JSON, no pickles, a checksum for each part. This
module owns the format and needs no engine to check one.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

FORMAT = 1
"""Incremented when the content of a checkpoint, or its meaning, changes."""

REMEDY = "remove it, and `mlplab resume` starts the run from the beginning"


class RunState(BaseModel):
    """The run as it was when the checkpoint was written.

    Attributes:
        recipe: its complete tables.
        data_id: hash of the decoded data set.
        versions: of the packages that affect a result, by name.
        device: see ``Record.device``.
        test_openings: how often the run has evaluated on the test split.
        seconds: training time so far.
        sizes: bytes of the files that grow, by their paths in the run folder.
    """

    model_config = ConfigDict(extra="forbid")
    recipe: dict[str, Any]
    data_id: str
    versions: dict[str, str]
    device: dict[str, Any]
    test_openings: NonNegativeInt
    seconds: NonNegativeFloat
    sizes: dict[str, NonNegativeInt]


class TrainingState(BaseModel):
    """The training as it was when the checkpoint was written; arrays are checked when assigned.

    Attributes:
        epoch: the next to train, from 0.
        done: steps of it already taken.
        over: whether a callback has stopped the training.
        state: arrays of the model and optimizer, in the groups of Keras's stateless steps.
        good: the same at the start of the epoch, for a checkpoint within it.
        trained: by trainable variable, the trained weights while the average replaces them.
        rows: of the epochs so far.
        rewinds: see ``Record.rewinds``.
        logs: of the last step.
        rate: learning rate at the start of the epoch.
        callbacks: state of each.
        random: states of Python's and NumPy's global generators.
    """

    model_config = ConfigDict(extra="forbid")
    epoch: NonNegativeInt
    done: NonNegativeInt
    over: bool
    state: list[list[Any]]
    good: Any
    trained: list[Any]
    rows: list[dict[str, int | float]]
    rewinds: list[dict[str, int | float]]
    logs: dict[str, float]
    rate: float
    callbacks: list[dict[str, Any]]
    random: dict[str, list[Any]]

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingState":
        if self.epoch != len(self.rows):
            raise ValueError("expected one row for each epoch")
        if any(not {"epoch", "loss", "seconds"} <= row.keys() for row in self.rows):
            raise ValueError("a row lacks a column")
        return self


class Checkpoint(BaseModel):
    """An unfinished run: its facts, and its training."""

    model_config = ConfigDict(extra="forbid")
    run: RunState
    training: TrainingState


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint.

    Raises:
        StorageError: if the disk is full or the folder cannot be written; an earlier checkpoint is
            then still there.
    """
    with files.storage(str(path.parent)):
        path.parent.mkdir(exist_ok=True)
    write_archive(path, {name: dict(part) for name, part in checkpoint})


def read(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        RunError: if the file is damaged, not a training's, or from another version of mlplab.
    """
    try:
        return Checkpoint.model_validate(read_archive(path), strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RunError(f"the checkpoint {path} is damaged: {where} is wrong; {REMEDY}") from None


def write_archive(path: Path, value: dict[str, Any]) -> None:
    """Write a nested value to a temporary file, verify it, and only then move it into place."""
    arrays: list[Any] = []
    packed = json.dumps({"format": FORMAT, **_packed(value, arrays)["table"]}).encode()
    with files.atomic(path, check=verify) as file:
        named = {str(number): array for number, array in enumerate(arrays)}
        np.savez(file, allow_pickle=False, facts=np.frombuffer(packed, np.uint8), **named)


def verify(path: Path) -> None:
    """Raise ``OSError`` if a part of the file does not agree with its checksum."""
    with zipfile.ZipFile(path) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise OSError(f"what was written reads back differently: {torn}")


def read_archive(path: Path) -> dict[str, Any]:
    """Return the value of :func:`write_archive`.

    Raises:
        RunError: if the file is damaged, or from another version of mlplab.
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
        raise RunError(f"the checkpoint {path} is from another version of mlplab; {REMEDY}")
    return value


def can_hold(value: Any) -> bool:
    """Return whether a checkpoint can hold a value: no files, functions or other objects."""
    try:
        _packed(value, [])
    except _OpaqueError:
        return False
    return True


class _OpaqueError(Exception):
    pass


def _packed(value: Any, arrays: list[Any]) -> Any:
    """Return a value in a form that JSON can hold, with its arrays moved to the list."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if _is_array(value):
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


def _is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array or, without importing JAX, a JAX array."""
    return isinstance(value, np.ndarray) or type(value).__module__.startswith("jaxlib")


def _unpacked(value: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {key: _unpacked(item, arrays) for key, item in value["table"].items()}
