"""Copies of Keras models: with new weights, or with the same."""

import hashlib
import inspect
import re

import keras
import numpy as np
from keras.src.utils.naming import to_snake_case

from mlplab.errors import RecipeError, first_line
from mlplab.models.conversion import copy_weights

# Initialisers with values that are known without drawing random numbers.
CONSTANT = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
)

STATISTICS = {
    "mean": keras.initializers.Zeros(),
    "variance": keras.initializers.Ones(),
    "count": keras.initializers.Zeros(),
}
"""What the weights of ``keras.layers.Normalization`` begin with."""


def is_untrained(model: keras.Model) -> bool:
    """Return whether a built model has the weights that its layers began with.

    Random initial values cannot be recognised, but training also changes those that are not
    random: biases that begin with 0, averages of batch normalisation. A model without any of these
    is taken for a trained one, which costs nothing: its weights stay as they are.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and int(optimizer.iterations) > 0:
        return False
    known = 0
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            initial = getattr(layer, f"{weight.name}_initializer", STATISTICS.get(weight.name))
            if isinstance(initial, CONSTANT):
                known += 1
                if not np.all(weight.numpy() == np.asarray(initial((1,)))):
                    return False
            elif initial is None:  # nothing is known about a weight of the user's own layers
                return False
    return known > 0


def untrained_copy(model: keras.Model) -> keras.Model:
    """Return a copy with new weights, drawn from Keras's global generator.

    Raises:
        RecipeError: if the model cannot be copied.
    """
    names = canonical_names(model)

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        name = names.get(layer.name, layer.name)
        if type(layer) is keras.layers.Lambda:  # its configuration is bytecode
            return keras.layers.Lambda(
                layer.function,
                output_shape=layer._output_shape,
                mask=layer.mask,
                arguments=layer.arguments,
                name=name,
                dtype=layer.dtype_policy,
            )
        return layer.__class__.from_config(layer.get_config() | {"name": name})

    try:
        if isinstance(model, keras.Sequential) or type(model).__name__ == "Functional":
            return keras.models.clone_model(model, clone_function=copied)
        # Not ``from_config``, which passes Keras's own arguments as well.
        taken = inspect.signature(type(model).__init__).parameters
        known = {key: value for key, value in model.get_config().items() if key in taken}
        copy = type(model)(**known)
        shapes = list((model._build_shapes_dict or {}).values())
        if shapes:
            copy(keras.KerasTensor((None, *shapes[0][1:])))  # builds it
        return copy
    except Exception as error:
        raise RecipeError(
            f"the model of the class {type(model).__name__} cannot be copied ({first_line(error)}):"
            " pass the function that makes it instead, as in model=make_network"
        ) from error


def same_weights(model: keras.Model) -> keras.Model:
    """Return a copy with the same weights."""
    copy = untrained_copy(model)
    copy_weights(copy, model)
    return copy


def digest_of_weights(model: keras.Model) -> str:
    """Return a SHA-256 of a model's weights."""
    total = hashlib.sha256()
    for weight in model.weights:
        total.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return total.hexdigest()


def canonical_names(model: keras.Model) -> dict[str, str]:
    """Return names of layers that do not depend on what else the process has built.

    Keras numbers the layers of a class through the whole process: ``dense_17``. Here they are
    numbered within the model. Names that the user chose stay.
    """
    found: dict[str, str] = {}
    layers = model._layers if isinstance(model, keras.Sequential) else model.layers
    counts: dict[str, int] = {}
    for layer in layers:
        base = re.sub(r"_\d+$", "", layer.name)
        if base != to_snake_case(type(layer).__name__):
            continue
        counts[base] = counts.get(base, -1) + 1
        found[layer.name] = f"{base}_{counts[base]}" if counts[base] else base
    kept = {layer.name for layer in layers} - found.keys()
    return {} if kept & set(found.values()) else found
