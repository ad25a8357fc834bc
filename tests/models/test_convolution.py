"""Convolutions as matrix products."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax import lax

from mlplab.models.layers import convolution, pooling
from mlplab.models.layers.depthwise import depthwise

FORMS = list(itertools.product([1, 2], [3, 20], [2, 3], ["same", "valid"]))
FORMS += [(stride, 20, 1, "same") for stride in (1, 2)]


def drawn(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def with_gradients(convolve: Any, x: jax.Array, kernel: jax.Array) -> list[jax.Array]:
    result, back = jax.vjp(convolve, x, kernel)
    return [result, *back(jnp.sin(jnp.arange(result.size)).reshape(result.shape))]


@pytest.mark.parametrize(("stride", "channels", "side", "padding"), FORMS)
def test_values_and_gradients_are_those_of_xla(
    stride: int, channels: int, side: int, padding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images are laid out at a time, so that three do not divide."""
    x, kernel = drawn(3, 7, 6, channels), drawn(side, side, channels, 4)
    monkeypatch.setattr(convolution, "LAID", 2 * 4 * 7 * -(-6 // stride) * side * channels)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolution.convolved(x, kernel, stride, "float32", padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        form = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding.upper(), dimension_numbers=form
        )

    both = jax.jit(with_gradients, static_argnums=0)
    found, expected = both(ours, x, kernel), both(theirs, x, kernel)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize(
    ("stride", "side", "padding"), list(itertools.product([1, 2], [2, 3], ["same", "valid"]))
)
def test_a_depthwise_convolution_is_kerass(stride: int, side: int, padding: Any) -> None:
    x, kernel = drawn(2, 7, 6, 5), drawn(side, side, 5, 1)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return depthwise(x, kernel, stride, padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> Any:
        return keras.ops.depthwise_conv(x, kernel, strides=stride, padding=padding)

    both = jax.jit(with_gradients, static_argnums=0)
    for mine, other in zip(both(ours, x, kernel), both(theirs, x, kernel), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("pool", [pooling.MaxPooling2D, pooling.AveragePooling2D])
def test_pooling_and_its_gradient_are_kerass(pool: Any, side: int) -> None:
    x = drawn(2, 7, 6, 5)
    found, expected = (
        jax.jit(jax.value_and_grad(lambda x, layer=layer: jnp.sin(layer(x)).sum()))(x)
        for layer in (pool(side), getattr(keras.layers, pool.__name__)(side))
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_positions_that_share_a_maximum_share_its_gradient() -> None:
    x = jnp.asarray([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [9.0, 9.0, 9.0]]).reshape(1, 3, 3, 1)
    gradient = jax.grad(lambda x: 6 * pooling.maximum(x, 2).sum())(x)
    assert gradient[0, ..., 0].tolist() == [[2, 2, 0], [0, 2, 0], [0, 0, 0]]
