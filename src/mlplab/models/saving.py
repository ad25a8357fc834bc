"""A network in a file, and in words."""

import json
import math
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import keras

from mlplab import memory
from mlplab.errors import MlplabError, RunError, first_line
from mlplab.files import storage
from mlplab.models import pooling
from mlplab.models.convolution import Conv2D
from mlplab.models.dense import Dense, Precision
from mlplab.models.depthwise import DepthwiseConv2D
from mlplab.models.dropout import Dropout
from mlplab.models.pooling import AveragePooling2D, MaxPooling2D

# Our layers compute what these of Keras do, faster.
PLAIN: dict[type, Any] = {
    AveragePooling2D: keras.layers.AveragePooling2D,
    Conv2D: keras.layers.Conv2D,
    Dense: keras.layers.Dense,
    DepthwiseConv2D: keras.layers.DepthwiseConv2D,
    Dropout: keras.layers.Dropout,
    MaxPooling2D: keras.layers.MaxPooling2D,
}
# Where they compute exactly that, in products of a precision or without.
ROUNDED: dict[type, tuple[Any, Callable[..., bool]]] = {
    keras.layers.Conv2D: (Conv2D, Conv2D.stands_for),
    keras.layers.Dense: (Dense, lambda layer: True),
}
EXACT: dict[type, tuple[Any, Callable[..., bool]]] = {
    keras.layers.AveragePooling2D: (AveragePooling2D, pooling.stands_for),
    keras.layers.DepthwiseConv2D: (DepthwiseConv2D, DepthwiseConv2D.stands_for),
    keras.layers.MaxPooling2D: (MaxPooling2D, pooling.stands_for),
}

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
MOST_LAYERS = 500  # each takes a twentieth of a second to make
PUBLISHED_LAYERS = 1_500  # of the networks of keras.applications the deepest has 1,200
OVERHEAD = 100_000  # bytes of HDF5 and of the description, for each variable
LARGEST_CONFIG = 4_000_000
"""Bytes; a network of a thousand layers takes one million."""


def to_keras(model: keras.Model) -> keras.Model:
    """Return a network as files have it: in the layers of Keras alone, and not compiled.

    So any program with Keras opens it. Who loads the file predicts, and an optimizer's state would
    triple it: the model that is given is no longer compiled either.
    """
    model.optimizer, model.compiled = None, False
    if not any(type(layer) in PLAIN for layer in model.layers):
        return model
    plain = keras.models.clone_model(model, clone_function=of_keras)
    plain.set_weights(model.get_weights())
    return plain


def save(model: keras.Model, path: Path) -> None:
    """Write a network, without its optimizer, as a ``.keras`` file; whole or not at all.

    Args:
        model: of :func:`to_keras`.
        path: of the file.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    aside = path.with_name(".saving.keras")
    with storage(str(path)):
        try:
            model.save(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def most_layers(family: str) -> int:
    """Return how many layers a network of a family may have."""
    return PUBLISHED_LAYERS if family == "pretrained" else MOST_LAYERS


def load(path: Path, most_layers: int = MOST_LAYERS) -> keras.Model:
    """Open a ``.keras`` file in Keras's safe mode: nothing in it is run.

    Before any of its numbers is read, the network is put together without them, so that one that
    does not fit into memory is refused.

    Args:
        path: of the file.
        most_layers: that it may have.

    Raises:
        RunError: if the file is damaged, has code or more than a network in it, or is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            strange = sorted(set(archive.namelist()) - set(MEMBERS))
            if strange:
                raise ValueError(f"it has {strange[0]!r} in it, which no network of a run has")
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
            f"{path} cannot be opened: {first_line(error)}. `mlplab runs check` says which files of"
            " a run are not as it wrote them"
        ) from None


def _outline(config: Any) -> keras.Model:
    """Put a network together whose variables have shapes, and no values."""
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
    # Keras makes the network whole before it looks for its weights.
    if archive.getinfo("model.weights.h5").file_size < sum(numbers):
        raise ValueError("its weights are fewer than its network's")
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
        # A layer of the user's own, or one that is used twice, has no single output.
        for tensor in keras.tree.flatten(getattr(layer, "output", []))
    )
    needed = {"the network's weights": 4 * weights, "what it computes of an image": 4 * values}
    memory.check(needed, "This is no network of a run here.", memory.available(), RunError)


def of_keras(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer, Keras's own one in place of ours."""
    config = layer.get_config()
    if isinstance(layer, Dense | Conv2D):
        del config["precision"]
    return PLAIN.get(type(layer), type(layer)).from_config(config)


def to_fast(model: keras.Model, precision: Precision) -> keras.Model:
    """Return a network of :func:`load` in our own layers, where it has such that ours stand for.

    The network itself, where it contains code of the user's own, or networks.
    """
    if type(model) is not keras.Model and type(model).__name__ != "Functional":
        return model  # the user's own, which may do anything
    if not all(_known(layer) for layer in model.layers):
        return model
    copy = keras.models.clone_model(model, clone_function=partial(of_ours, precision=precision))
    copy_weights(copy, model)
    return copy


def _known(layer: keras.layers.Layer) -> bool:
    """Say whether a layer can be made again from its configuration: no code of the user's own."""
    ours = type(layer).__module__.partition(".")[0] in ("keras", "mlplab")
    return ours and not isinstance(layer, keras.layers.Lambda | keras.Model)


def of_ours(
    layer: keras.layers.Layer, precision: Precision, name: str | None = None
) -> keras.layers.Layer:
    """Return a copy of a layer, under another name if one is given, ours where we have such."""
    config = layer.get_config() | ({"name": name} if name else {})
    for table, more in ((ROUNDED, {"precision": precision}), (EXACT, {})):
        if type(layer) in table:
            ours, stands_for = table[type(layer)]
            if stands_for(layer):
                return ours.from_config(config | more)
    return layer.__class__.from_config(config)


def copy_weights(copy: keras.Model, model: keras.Model) -> None:
    """Give a copy the weights of what it was made from."""
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        # Not by NumPy: an outline has no values. Copied: Keras's predict gives back a model's own.
        mine.assign(jnp.copy(theirs.value))


def summary(model: keras.Model) -> str:
    """Return Keras's summary: layers, shapes, parameters."""
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    return "\n".join(lines)
