"""Batch normalisation together with the activation that follows it, in C++ where that is there.

XLA's CPU backend passes through the images several times for the moments, and as often for their
gradients. Here it is twice forward and twice backward, with the activation on the way.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.models.native import calls, library


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """``keras.layers.BatchNormalization`` over channels of images, and an activation.

    Attributes:
        then: the activation, by name.
    """

    then: str = "linear"  # for layers that fast_layers gives this class

    @staticmethod
    def can_replace(layer: keras.layers.BatchNormalization) -> bool:
        """Return whether this class computes the same as a Keras layer."""
        return library.found() and not layer.synchronized and not getattr(layer, "renorm", False)

    def call(
        self, inputs: jax.Array, training: bool | None = None, mask: jax.Array | None = None
    ) -> jax.Array:
        """Return activation(normalised), float32 in the shape of the inputs."""
        images = inputs.ndim == 4 and self.axis in (-1, 3) and inputs.dtype == jnp.float32
        if not (images and training and self.trainable and mask is None):
            outputs = super().call(inputs, training=training, mask=mask)
            return keras.activations.get(self.then)(outputs)
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else jnp.ones(channels)
        shift = self.beta.value if self.center else jnp.zeros(channels)
        outputs, mean, variance = calls.normalise(inputs, scale, shift, self.epsilon, self.then)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.value * self.momentum + now * (1.0 - self.momentum))
        return outputs


class Activation(keras.layers.Activation):  # type: ignore[misc]
    """``keras.layers.Activation`` that is slow in XLA, over images."""

    @staticmethod
    def can_replace(layer: keras.layers.Activation) -> bool:
        """Return whether this class computes the same as a Keras layer, and faster."""
        return library.found() and name_of(layer) == "gelu"

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the activation, float32 in the shape of the inputs."""
        if inputs.ndim == 4 and inputs.dtype == jnp.float32:
            return calls.activate(inputs, "gelu")
        result: jax.Array = super().call(inputs)
        return result


class Passed(keras.layers.Activation):  # type: ignore[misc]
    """An activation that the layer before it has computed."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the inputs."""
        return inputs


def name_of(layer: keras.layers.Layer) -> str | None:
    """Return which activation of ``ACTIVATIONS`` a layer is, if it is one and nothing else."""
    if type(layer) not in (keras.layers.Activation, Activation):
        return None
    known = {keras.activations.get(name): name for name in calls.ACTIVATIONS}
    function: Any = layer.activation
    return known.get(function)


def pairs(model: keras.Model) -> dict[int, tuple[keras.layers.Layer, str]]:
    """Return the activations that follow a batch normalisation, and only that, and their names.

    Only in graphs of Keras, whose order of layers is certain; not in a user's own ``call``.

    Returns:
        By the ``id`` of the normalisation.
    """
    found = (_graph(part) for part in (model, *model._flatten_layers(include_self=False)))
    graphs = list({id(graph): graph for graph in found if graph is not None}.values())
    uses: dict[int, list[Any]] = {}  # of each layer: what takes its outputs, in all graphs
    nodes = [node for graph in graphs for same in graph._nodes_by_depth.values() for node in same]
    for node in nodes:
        uses.setdefault(id(node.operation), [])
        for tensor in node.input_tensors:
            uses.setdefault(id(tensor._keras_history.operation), []).append(node.operation)
    ends = {id(tensor._keras_history.operation) for graph in graphs for tensor in graph.outputs}
    runs = [node.operation for node in nodes]
    joined = {}
    for layer in runs:
        after = uses[id(layer)]
        if type(layer) is not keras.layers.BatchNormalization or len(after) != 1:
            continue
        once = all(sum(one is other for other in runs) == 1 for one in (layer, after[0]))
        name = name_of(after[0])
        if name is not None and once and id(layer) not in ends:
            joined[id(layer)] = (after[0], name)
    return joined


def _graph(model: Any) -> Any:
    """Return the graph of layers that a model runs, or ``None``."""
    if isinstance(model, keras.Sequential):
        own = type(model).call is keras.Sequential.call
        return getattr(model, "_functional", None) if own else None
    plain = type(model).__module__.startswith("keras.") and type(model).__name__ == "Functional"
    return model if plain else None
