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

# Our layers compute the same as these of Keras, but faster.
TO_KERAS: dict[type, Any] = {
    AveragePooling2D: keras.layers.AveragePooling2D,
    Conv2D: keras.layers.Conv2D,
    Dense: keras.layers.Dense,
    DepthwiseConv2D: keras.layers.DepthwiseConv2D,
    Dropout: keras.layers.Dropout,
    MaxPooling2D: keras.layers.MaxPooling2D,
}
# Replacements that compute exactly the same: layers whose products have a precision, and others.
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
    """Return a network in the form of files: with only Keras's layers, and not compiled.

    So any program with Keras can open it. Loaded files are used for prediction, and an optimizer's
    state would triple their size; the given model is no longer compiled afterwards either.
    """
    model.optimizer, model.compiled = None, False
    if not any(type(layer) in TO_KERAS for layer in model.layers):
        return model
    plain = keras.models.clone_model(model, clone_function=of_keras)
    plain.set_weights(model.get_weights())
    return plain


def of_keras(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a copy of a layer, with Keras's class instead of ours."""
    config = layer.get_config()
    if isinstance(layer, Dense | Conv2D):
        del config["precision"]
    return TO_KERAS.get(type(layer), type(layer)).from_config(config)


def to_fast(model: keras.Model, precision: Precision) -> keras.Model:
    """Return a network of :func:`load` with our own layers wherever they can replace Keras's.

    If it contains the user's own code, or networks, it is returned as it is.
    """
    if type(model) is not keras.Model and type(model).__name__ != "Functional":
        return model  # the user's own code, which may do anything
    if not all(_known(layer) for layer in model.layers):
        return model
    copy = keras.models.clone_model(model, clone_function=partial(of_ours, precision=precision))
    copy_weights(copy, model)
    return copy


def _known(layer: keras.layers.Layer) -> bool:
    """Return whether a layer can be recreated from its configuration: not the user's own code."""
    ours = type(layer).__module__.partition(".")[0] in ("keras", "mlplab")
    return ours and not isinstance(layer, keras.layers.Lambda | keras.Model)


def of_ours(
    layer: keras.layers.Layer, precision: Precision, name: str | None = None
) -> keras.layers.Layer:
    """Return a copy of a layer, under another name if one is given, in our class if we have one."""
    config = layer.get_config() | ({"name": name} if name else {})
    for table, more in ((TO_FAST_ROUNDED, {"precision": precision}), (TO_FAST, {})):
        if type(layer) in table:
            ours, can_replace = table[type(layer)]
            if can_replace(layer):
                return ours.from_config(config | more)
    return layer.__class__.from_config(config)


def copy_weights(copy: keras.Model, model: keras.Model) -> None:
    """Give a copy the weights of the model it was made from."""
    for mine, theirs in zip(copy.weights, model.weights, strict=True):
        # Not with NumPy, as an outline has no values. Copied, as Keras's predict donates them.
        mine.assign(jnp.copy(theirs.value))
