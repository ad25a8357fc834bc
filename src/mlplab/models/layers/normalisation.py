"""Normalisation and activations in C++, where that is there.

XLA's CPU backend passes through the images several times for the moments, and as often for their
gradients. Here it is twice forward and twice backward for a batch, with the activation on the way,
and once for each row's own moments.
"""

import jax
import jax.numpy as jnp
import keras

from mlplab.models.native import calls


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """``keras.layers.BatchNormalization`` over the last axis, and an activation.

    Like the other layers of this file only where there is C++.

    Attributes:
        then: the activation, by name.
    """

    then: str = "linear"  # for layers that fast_layers gives this class

    @staticmethod
    def can_replace(layer: keras.layers.BatchNormalization) -> bool:
        """Return whether this class computes the same as a Keras layer."""
        return not layer.synchronized and not getattr(layer, "renorm", False)

    def call(
        self, inputs: jax.Array, training: bool | None = None, mask: jax.Array | None = None
    ) -> jax.Array:
        """Return activation(normalised), float32 in the shape of the inputs."""
        last = self.axis in (-1, inputs.ndim - 1) and inputs.dtype == jnp.float32
        if not (last and training and self.trainable and mask is None):
            outputs = super().call(inputs, training=training, mask=mask)
            activated: jax.Array = keras.activations.get(self.then)(outputs)
            return activated
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else jnp.ones(channels)
        shift = self.beta.value if self.center else jnp.zeros(channels)
        epsilon = float(self.epsilon)
        images = inputs.reshape(-1, 1, 1, channels) if inputs.ndim != 4 else inputs
        outputs, mean, variance = calls.normalise(images, scale, shift, epsilon, self.then)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.value * self.momentum + now * (1.0 - self.momentum))
        return outputs.reshape(inputs.shape)


class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
    """``keras.layers.LayerNormalization`` over the last axis."""

    @staticmethod
    def can_replace(layer: keras.layers.LayerNormalization) -> bool:
        """Return whether this class computes the same as a Keras layer."""
        return not layer.rms_scaling

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the normalised rows, float32 in the shape of the inputs."""
        if self.axis not in (-1, [-1], inputs.ndim - 1) or inputs.dtype != jnp.float32:
            result: jax.Array = super().call(inputs)
            return result
        channels = inputs.shape[-1]
        scale = jnp.ones(channels) if self.gamma is None else self.gamma.value
        shift = jnp.zeros(channels) if self.beta is None else self.beta.value
        return calls.layer_normalise(inputs, scale, shift, float(self.epsilon))


class Activation(keras.layers.Activation):  # type: ignore[misc]
    """``keras.layers.Activation`` that is slow in XLA."""

    @staticmethod
    def can_replace(layer: keras.layers.Activation) -> bool:
        """Return whether this class computes the same as a Keras layer, and faster."""
        return calls.name_of(layer.activation) == "gelu"

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the activation, float32 in the shape of the inputs."""
        if inputs.dtype == jnp.float32:
            return calls.activate(inputs, "gelu")
        result: jax.Array = super().call(inputs)
        return result
