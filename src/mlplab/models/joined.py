"""Layers that are computed together with the one after them, where C++ can do both at once."""

from typing import Any

import keras

from mlplab.models.layers.convolution import MAXIMA, Conv2D
from mlplab.models.layers.normalisation import Activation, BatchNormalization
from mlplab.models.layers.pooling import MaxPooling2D
from mlplab.models.native import calls, library
from mlplab.models.native.convolution import SIDE


class Passed(keras.layers.Layer):  # type: ignore[misc]
    """A layer that the one before it has computed."""

    def call(self, inputs: Any) -> Any:
        """Return the inputs."""
        return inputs


def joined(first: keras.layers.Layer, after: keras.layers.Layer) -> str | None:
    """Return what a layer is to compute in addition, or ``None`` if that cannot be.

    Args:
        first: in our class.
        after: what its outputs go to, and nothing else.
    """
    if type(first) not in (BatchNormalization, Conv2D) or not library.found():
        return None
    if type(first) is Conv2D and calls.name_of(first.activation) != "linear":
        return None
    if type(after) in (keras.layers.Activation, Activation):
        return calls.name_of(after.activation)
    pooled = type(first) is Conv2D and type(after) is MaxPooling2D
    return MAXIMA if pooled and after.pool_size == (SIDE, SIDE) else None


def followers(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """Return the layers that alone take what another gives, by the ``id`` of the other.

    Only in graphs of Keras, whose order of layers is certain; not in a user's own ``call``. Both
    layers are there once, and no model returns what the first gives.
    """
    found = (_graph(part) for part in (model, *model._flatten_layers(include_self=False)))
    graphs = list({id(graph): graph for graph in found if graph is not None}.values())
    nodes = [node for graph in graphs for same in graph._nodes_by_depth.values() for node in same]
    runs = [id(node.operation) for node in nodes]
    takers: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            takers.setdefault(id(tensor._keras_history.operation), []).append(node.operation)
    for graph in graphs:
        for tensor in graph.outputs:
            takers.pop(id(tensor._keras_history.operation), None)
    return {
        giver: after[0]
        for giver, after in takers.items()
        if len(after) == 1 and runs.count(giver) == runs.count(id(after[0])) == 1
    }


def _graph(model: Any) -> Any:
    """Return the graph of layers that a model runs, or ``None``."""
    if isinstance(model, keras.Sequential):
        own = type(model).call is keras.Sequential.call
        return getattr(model, "_functional", None) if own else None
    plain = type(model).__module__.startswith("keras.") and type(model).__name__ == "Functional"
    return model if plain else None
