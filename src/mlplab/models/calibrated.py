"""A network whose logits are divided by a temperature, in the weights that it is saved with."""

from typing import Any

import keras

from mlplab.errors import RecipeError

ENDS_OTHERWISE = (
    "evaluation.calibrate divides the weights of a dense layer with softmax at the end of the"
    " network: this one ends otherwise"
)


def check(model: keras.Model) -> None:
    """Refuse a network whose logits cannot be divided by changing its weights.

    Raises:
        RecipeError: if it does not end with a dense layer and softmax.
    """
    _logits(model)


def divide_logits(model: keras.Model, temperature: float) -> None:
    """Divide the weights of the last dense layer, and with them the logits, by a number.

    So the network keeps its form, and every program that opens its file computes the calibrated
    probabilities.

    Raises:
        RecipeError: as :func:`check` does.
    """
    layer = _logits(model)
    layer.set_weights([weight / temperature for weight in layer.get_weights()])


def _logits(model: keras.Model) -> keras.layers.Dense:
    """Return the dense layer that computes the logits, and nothing else."""
    outputs = getattr(model, "outputs", None) or []
    layer: Any = outputs[0]._keras_history.operation if len(outputs) == 1 else None
    activation = keras.activations.softmax
    if _is_softmax(layer):
        layer, activation = layer.input._keras_history.operation, keras.activations.linear
    graph = getattr(model, "_functional", model)
    calls = [node.operation for nodes in graph._nodes_by_depth.values() for node in nodes]
    if (
        not isinstance(layer, keras.layers.Dense)
        or layer.activation is not activation
        or layer.lora_enabled
        or layer.quantization_mode
        or sum(operation is layer for operation in calls) != 1
    ):
        raise RecipeError(ENDS_OTHERWISE)
    return layer


def _is_softmax(layer: Any) -> bool:
    if isinstance(layer, keras.layers.Softmax):
        return bool(layer.axis == -1)
    activation = getattr(layer, "activation", None)
    return isinstance(layer, keras.layers.Activation) and activation is keras.activations.softmax
