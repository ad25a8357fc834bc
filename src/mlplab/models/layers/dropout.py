"""Dropout whose random bits cost almost nothing.

Keras draws them with JAX's Threefry, which on a CPU takes longer than a small layer's product. Here
each bit is a hash of its position and of the step's key: a few integer operations that the compiler
fuses into the multiplication by the mask, so that the bits are never written to memory.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras


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
    size = 1
    for length in shape:
        size *= length
    position = jax.lax.iota(jnp.uint32, size).reshape(shape)
    return _mix(_mix(position ^ first) + second)


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
