"""A network as a file, and as a summary."""

import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import rich.console

from mlplab import memory
from mlplab.errors import MlplabError, RunError, first_line
from mlplab.files import storage
from mlplab.runs import layout

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
OVERHEAD = 100_000  # bytes of HDF5 and of the description, for each variable
LARGEST_CONFIG = 4_000_000
"""Bytes; a network of a thousand layers takes one million."""


def save(model: keras.Model, path: Path) -> None:
    """Write a network, without its optimizer, as a ``.keras`` file; whole or not at all.

    Args:
        model: from :func:`to_keras`.
        path: of the file.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    aside = path.with_name(layout.SAVING)
    with storage(str(path)):
        try:
            model.save(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def load(path: Path, most_layers: int) -> keras.Model:
    """Open a ``.keras`` file in Keras's safe mode: nothing in it is run.

    The network is first built without its weights, so that one that does not fit into memory is
    refused before they are read.

    Args:
        path: of the file.
        most_layers: maximum number of layers.

    Raises:
        RunError: if the file is damaged, contains code or more than a network, or is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strange = sorted(set(archive.namelist()) - set(MEMBERS))
            if strange:
                raise ValueError(f"it contains {strange[0]!r}, which mlplab does not write")
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
                raise ValueError("its description is too long")
            config = json.loads(archive.read("config.json"))
            if len(config["config"]["layers"]) > most_layers:
                raise ValueError(f"it has more than {most_layers} layers")
            outline = _outline(config)
            numbers = [math.prod(variable.shape) for variable in outline.variables]
            _check_size(outline, sum(numbers))
            _check_arrays(archive, numbers)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except MlplabError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        raise RunError(
            f"{path} cannot be opened: {first_line(error)}. `mlplab runs check` lists the files of"
            " a run that have changed"
        ) from None


def _outline(config: Any) -> keras.Model:
    """Build a network whose variables have shapes, but no values."""
    made: list[Any] = []

    def make() -> None:
        made.append(keras.saving.deserialize_keras_object(config, safe_mode=True))

    jax.eval_shape(make)
    if not isinstance(made[0], keras.Model):
        raise ValueError("it does not describe a network")
    return made[0]


def _check_arrays(archive: zipfile.ZipFile, numbers: Sequence[int]) -> None:
    """Refuse arrays larger than the network's: each would be read before it is compared."""
    bound = 8 * sum(numbers) + OVERHEAD * (1 + len(numbers))
    if sum(part.file_size for part in archive.infolist()) > bound:
        raise ValueError("its weights are larger than its network")
    # Keras builds the whole network before it looks for its weights.
    if archive.getinfo("model.weights.h5").file_size < sum(numbers):
        raise ValueError("it has fewer weights than its network")
    largest = max(numbers, default=0)

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.size > max(largest, 1000):
            raise ValueError(f"its array {name} is larger than its network")

    with archive.open("model.weights.h5") as part, h5py.File(part, "r") as file:
        file.visititems(check)


def _check_size(outline: keras.Model, weights: int) -> None:
    values = sum(
        math.prod(side or 1 for side in tensor.shape)
        for layer in outline.layers
        # A user's own layer, or one that is used twice, has no single output.
        for tensor in keras.tree.flatten(getattr(layer, "output", []))
    )
    needed = {"the network's weights": 4 * weights, "its activations for an image": 4 * values}
    memory.check(needed, "It was not written by mlplab.", memory.available(), RunError)


def summary(model: keras.Model) -> str:
    """Return Keras's summary: layers, shapes, parameters."""
    lines: list[str] = []
    # In a notebook, Keras's console would show an empty output besides, and has no setting for it.
    detected = rich.console._is_jupyter
    rich.console._is_jupyter = lambda: False
    try:
        model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    finally:
        rich.console._is_jupyter = detected
    return "\n".join(lines)
