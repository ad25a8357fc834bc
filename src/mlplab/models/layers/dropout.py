"""Dropout whose random bits cost almost nothing.

Keras draws them with JAX's Threefry, which on a CPU takes longer than a small layer's product: JAX
compiles its rounds as a loop over whole arrays. :class:`Dropout` hashes each position with the
step's key instead: a few integer operations that the compiler fuses into the multiplication by the
mask, so that the bits are never written to memory. :class:`SameDropout` computes Threefry itself in
that form, for networks of the user's own, which are to see the bits that Keras draws.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@keras.saving.register_keras_serializable(package="mlplab")
class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """``keras.layers.Dropout`` with hashed bits: the same distribution, separate for each element.

    There is no ``noise_shape``.
    The keys are from Keras's own seed generator, so that its state replays a training.
    """

    def call(self, inputs: jax.Array, training: bool = False) -> jax.Array:
        """Return the inputs with a share ``rate`` set to 0 and the rest scaled up, in training."""
        if not training or not self.rate:
            return inputs
        bits = hashed_bits(self.seed_generator.next(), inputs.shape)
        kept = bits >= jnp.uint32(min(round(self.rate * 2**32), 2**32 - 1))
        return jnp.where(kept, inputs / (1 - self.rate), jnp.zeros((), inputs.dtype))


class SameDropout(keras.layers.Dropout):  # type: ignore[misc]
    """``keras.layers.Dropout`` with the bits that Keras draws on JAX, drawn faster on a CPU."""

    @staticmethod
    def can_replace(layer: keras.layers.Dropout) -> bool:
        """Return whether this class draws the same bits as a Keras layer, and faster."""
        cpu = jax.default_backend() == "cpu"
        threefry = jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]
        by_position = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
        single = not jax.config.jax_enable_x64  # type: ignore[attr-defined]
        return cpu and threefry and by_position and single and layer.noise_shape is None

    def call(self, inputs: jax.Array, training: bool = False) -> jax.Array:
        """Return the inputs with a share ``rate`` set to 0 and the rest scaled up, in training."""
        if not training or not 0 < self.rate < 1 or math.prod(inputs.shape) >= 2**32:
            dropped: jax.Array = super().call(inputs, training=training)
            return dropped
        share = 1.0 - self.rate
        # JAX compares the upper 23 bits, as a fraction, with the share in single precision.
        least = math.ceil(float(np.float32(share)) * 2**23)
        kept = threefry_bits(self.seed_generator.next(), inputs.shape) >> 9 < jnp.uint32(least)
        return jnp.where(kept, inputs / share, jnp.zeros((), inputs.dtype))


def threefry_bits(key: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return ``jax.random.bits`` in a form that the compiler fuses with its use.

    Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
    2011), of each position by itself.

    Args:
        key: uint32 [2].
        shape: of the result, with fewer than 2**32 positions.

    Returns:
        uint32 of that shape.
    """
    first, second = (jnp.asarray(key[index], jnp.uint32) for index in range(2))
    keys = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    x = jnp.broadcast_to(first, shape)
    y = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + second
    for group in range(5):
        for turns in ROTATIONS[group % 2]:
            x = x + y
            y = (y << turns | y >> (32 - turns)) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x ^ y


def hashed_bits(key: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return 32 random bits for each position.

    The position is mixed with both words of the key by the finaliser of MurmurHash3 with the
    constants of Chris Wellons' search ("lowbias32", 2018). The key's words enter at two places:
    adding both to the position would make the bits of one step a shifted copy of another's.

    Args:
        key: uint32 [2].
        shape: of the result.

    Returns:
        uint32 of that shape.
    """
    words = [jnp.asarray(key[index], jnp.uint32) for index in range(2)]
    first = _mix(words[0] ^ _mix(words[1] + jnp.uint32(0x9E3779B9)))
    second = _mix(first + words[1])
    position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _mix(_mix(position ^ first) + second)


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
