"""Networks in Keras's own layers, for files, and in ours, for speed; both compute the same."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import keras

from mlplab.models.layers import pooling
from mlplab.models.layers.convolution import Conv2D
from mlplab.models.layers.dense import Dense, Precision
from mlplab.models.layers.depthwise import DepthwiseConv2D
from mlplab.models.layers.dropout import Dropout
from mlplab.models.layers.pooling import AveragePooling2D, MaxPooling2D

# Our layers compute what these of Keras do, faster.
TO_KERAS: dict[type, Any] = {
    AveragePooling2D: keras.layers.AveragePooling2D,
    Conv2D: keras.layers.Conv2D,
    Dense: keras.layers.Dense,
    DepthwiseConv2D: keras.layers.DepthwiseConv2D,
    Dropout: keras.layers.Dropout,
    MaxPooling2D: keras.layers.MaxPooling2D,
}
# Where they compute exactly that, in products of a precision or without.
TO_FAST_ROUNDED: dict[type, tuple[Any, Callable[..., bool]]] = {
    keras.layers.Conv2D: (Conv2D, Conv2D.can_replace),
    keras.layers.Dense: (Dense, lambda layer: True),
}
TO_FAST: dict[type, tuple[Any, Callable[..., bool]]] = {
    keras.layers.AveragePooling2D: (AveragePooling2D, pooling.can_replace),
    keras.layers.DepthwiseConv2D: (DepthwiseConv2D, DepthwiseConv2D.can_replace),
    keras.layers.MaxPooling2D: (MaxPooling2D, pooling.can_replace),
}


def to_keras(model: keras.Model) -> keras.Model:
    """Return a network as files have it: in the layers of Keras alone, and not compiled.

    So any program with Keras opens it. Who loads the file predicts, and an optimizer's state would
    triple it: the model that is given is no longer compiled either.
    """
    model.optimizer, model.compiled = None, False
    if not any(type(layer) in TO_KERAS for layer in model.layers):
        return model
    plain = keras.models.clone_model(model, clone_function=of_keras)
    plain.set_weights(model.get_weights())
    return plain


def of_keras(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer, Keras's own one in place of ours."""
    config = layer.get_config()
    if isinstance(layer, Dense | Conv2D):
        del config["precision"]
    return TO_KERAS.get(type(layer), type(layer)).from_config(config)


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
    for table, more in ((TO_FAST_ROUNDED, {"precision": precision}), (TO_FAST, {})):
        if type(layer) in table:
            ours, can_replace = table[type(layer)]
            if can_replace(layer):
                return ours.from_config(config | more)
    return layer.__class__.from_config(config)


def copy_weights(copy: keras.Model, model: keras.Model) -> None:
    """Give a copy the weights of what it was made from."""
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        # Not by NumPy: an outline has no values. Copied: Keras's predict gives back a model's own.
        mine.assign(jnp.copy(theirs.value))
