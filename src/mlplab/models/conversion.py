"""Networks in Keras's own layers, for files, and in ours, for speed; both compute the same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax.numpy as jnp
import keras

from mlplab.models.joined import Passed, followers, joined
from mlplab.models.layers import pooling
from mlplab.models.layers.convolution import Conv2D
from mlplab.models.layers.dense import Dense, Precision
from mlplab.models.layers.depthwise import DepthwiseConv2D
from mlplab.models.layers.dropout import Dropout, SameDropout
from mlplab.models.layers.normalisation import (
    Activation,
    BatchNormalization,
    LayerNormalization,
)
from mlplab.models.layers.pooling import AveragePooling2D, MaxPooling2D
from mlplab.models.native import library
from mlplab.models.native.calls import name_of

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
# Replacements for layers of all networks while they are trained, and for those worth C++.
IN_THE_LOOP = (
    TO_FAST_ROUNDED | TO_FAST | {keras.layers.Dropout: (SameDropout, SameDropout.can_replace)}
)
IN_CPP: dict[type, tuple[Any, Callable[..., bool]]] = {
    keras.layers.Activation: (Activation, Activation.can_replace),
    keras.layers.BatchNormalization: (BatchNormalization, BatchNormalization.can_replace),
    keras.layers.LayerNormalization: (LayerNormalization, LayerNormalization.can_replace),
}
MANY = 3_000_000_000  # a million images of CIFAR-10's size: then C++ saves a plain MLP 10 seconds
WORTH_CPP = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.LayerNormalization


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


@contextmanager
def fast_layers(model: keras.Model, in_cpp: bool | None = None) -> Iterator[None]:
    """Let a network compute with our faster layers until the block ends.

    For the user's own networks, of whatever form: each layer stays the same object, with its own
    variables and name, and only its class is another for as long as steps are traced. XLA's
    convolutions are slow in a compiled loop on a CPU. Layers in a lower precision stay as they are,
    and so do all layers of a model with its own ``train_step`` or ``compute_loss``, which may
    differentiate them in ways that ours do not support.
    """
    swapped: list[tuple[keras.layers.Layer, type]] = []
    told: list[tuple[keras.layers.Layer, str]] = []

    def tell(layer: keras.layers.Layer, name: str, value: object) -> None:
        object.__setattr__(layer, name, value)
        told.append((layer, name))

    def swap(layer: keras.layers.Layer, ours: type) -> None:
        swapped.append((layer, type(layer)))
        object.__setattr__(layer, "__class__", ours)

    try:
        if _differentiated_once(model):
            layers = model._flatten_layers(include_self=False)
            cpp = is_worth_cpp(model) and library.found() if in_cpp is None else in_cpp
            table = IN_THE_LOOP | IN_CPP if cpp else IN_THE_LOOP
            for layer in layers:
                if ours := _faster(layer, table):
                    swap(layer, ours)
                if cpp and type(layer) is Dense and name_of(layer.activation) == "gelu":
                    tell(layer, "in_cpp", True)
            after = followers(model)
            for layer in layers:
                follower = after.get(id(layer))
                if follower is not None and (then := joined(layer, follower)):
                    tell(layer, "then", then)
                    swap(follower, Passed)
        yield
    finally:
        for layer, name in told:
            object.__delattr__(layer, name)
        for layer, before in reversed(swapped):
            object.__setattr__(layer, "__class__", before)


def is_worth_cpp(model: keras.Model, values: int = 0, slow_images: bool = False) -> bool:
    """Return whether a training is worth compiling C++ for: that of a plain MLP only if it is long.

    Args:
        model: to be trained.
        values: numbers that it is shown in all epochs together.
        slow_images: whether XLA is slow at how its images are changed.
    """
    layers = model._flatten_layers(include_self=False)
    if any(isinstance(layer, WORTH_CPP) for layer in layers):
        return True
    return values >= MANY and (slow_images or any(_is_slow_in_xla(layer) for layer in layers))


def _is_slow_in_xla(layer: keras.layers.Layer) -> bool:
    gelu = name_of(getattr(layer, "activation", None)) == "gelu"
    return gelu or isinstance(layer, keras.layers.BatchNormalization)


def _differentiated_once(model: keras.Model) -> bool:
    """Return whether steps are Keras's own, which do not differentiate gradients."""
    cls = type(model)
    own_step = cls.train_step is not keras.Model.train_step
    return not own_step and cls.compute_loss is keras.Model.compute_loss


def _faster(layer: keras.layers.Layer, table: dict[type, tuple[Any, Callable[..., bool]]]) -> Any:
    """Return our class that computes the same as a Keras layer, or ``None``."""
    ours, can_replace = table.get(type(layer), (None, None))
    if can_replace is None or not can_replace(layer):
        return None
    plain = layer.compute_dtype == layer.variable_dtype == "float32"
    adapted = getattr(layer, "lora_enabled", False) or layer.quantization_mode
    return ours if plain and not adapted else None


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
