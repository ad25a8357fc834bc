"""A network in a file, and in words."""

from pathlib import Path
from typing import Any

import keras

from mlplab.models.dense import Dense
from mlplab.models.dropout import Dropout
from mlplab.models.pooling import AveragePooling2D
from mlplab.runs.store import storage

# Our layers compute what these of Keras do, faster.
PLAIN: dict[type, Any] = {
    AveragePooling2D: keras.layers.AveragePooling2D,
    Dense: keras.layers.Dense,
    Dropout: keras.layers.Dropout,
}


def save(model: keras.Model, path: Path) -> keras.Model:
    """Write a network, without its optimizer, as a ``.keras`` file; whole or not at all.

    The file has the layers of Keras alone, so that any program with Keras opens it. The model is
    no longer compiled afterwards: who loads the file predicts, and an optimizer's state would
    triple it.

    Returns:
        The network as the file has it.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    model.optimizer, model.compiled = None, False
    if any(type(layer) in PLAIN for layer in model.layers):
        plain = keras.models.clone_model(model, clone_function=of_keras)
        plain.set_weights(model.get_weights())
        model = plain
    aside = path.with_name(".saving.keras")
    with storage(str(path)):
        try:
            model.save(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return model


def of_keras(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer, Keras's own one in place of ours."""
    config = layer.get_config()
    if isinstance(layer, Dense):
        del config["precision"]
    return PLAIN.get(type(layer), type(layer)).from_config(config)


def summary(model: keras.Model) -> str:
    """Return Keras's summary: layers, shapes, parameters."""
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    return "\n".join(lines)
