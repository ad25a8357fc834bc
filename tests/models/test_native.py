"""Convolutions that are left to oneDNN, where the extra and a compiler are."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tests.helpers import train

import mlplab
from mlplab.models.layers.convolution import convolved, margin, reach
from mlplab.models.native import calls, library

FORMS = list(itertools.product([1, 2], [3, 20], [2, 3], ["same", "valid"]))
FORMS += [(2, 20, 1, "same")]


@pytest.fixture(scope="module", autouse=True)
def native() -> Iterator[None]:
    """Switch it on: the other tests run without it, as most users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLPLAB_NATIVE", raising=False)
        library.loaded.cache_clear()
        if why_not := library.why_not():
            pytest.skip(why_not)
        yield
    library.loaded.cache_clear()


def drawn(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def with_gradients(convolve: Any, x: jax.Array, kernel: jax.Array) -> list[jax.Array]:
    result, back = jax.vjp(convolve, x, kernel)
    return [result, *back(jnp.sin(jnp.arange(result.size)).reshape(result.shape))]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("stride", "channels", "side", "padding"), FORMS)
def test_values_and_gradients_are_those_of_xla(
    stride: int, channels: int, side: int, padding: Any, precision: Any
) -> None:
    x, kernel = drawn(3, 7, 6, channels), drawn(side, side, channels, 4)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolved(x, kernel, stride, precision, padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        form = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding.upper(), dimension_numbers=form
        )

    both = jax.jit(with_gradients, static_argnums=0)
    assert "mlplab_convolve" in jax.jit(ours).lower(x, kernel).as_text()
    far = 1e-4 if precision == "float32" else 0.1
    for mine, other in zip(both(ours, x, kernel), both(theirs, x, kernel), strict=True):
        np.testing.assert_allclose(mine, other, atol=far * float(jnp.abs(other).max()))


@pytest.mark.parametrize("many", [2, 3, 9])
def test_pieces_sum_to_the_whole(many: int) -> None:
    x, gradient = drawn(7, 6, 6, 5), jnp.flip(drawn(7, 6, 6, 4))
    kernel, around = drawn(3, 3, 5, 4), ((1, 1), (1, 1))
    asked: list[tuple[Any, ...]] = [
        (calls.FORWARD, x, kernel, gradient.shape),
        (calls.TO_IMAGES, gradient, kernel, x.shape),
        (calls.TO_KERNEL, x, gradient, kernel.shape),
    ]
    for kind, a, b, shape in asked:
        whole, parts = (
            calls.convolve(kind, a, b, shape, 1, around, pieces=pieces) for pieces in (1, many)
        )
        np.testing.assert_allclose(parts, whole, atol=1e-4)


@pytest.mark.parametrize(
    ("stride", "channels", "side", "wide"), [(1, 4, 3, 6), (2, 3, 3, 7), (1, 5, 2, 5)]
)
def test_factors_in_bfloat16_are_rounded_and_their_products_are_not(
    stride: int, channels: int, side: int, wide: int
) -> None:
    x, kernel = drawn(3, 6, wide, channels), drawn(side, side, channels, 9)
    around = margin(x, side, stride, "same")
    y = jnp.sin(jnp.arange(3.0 * 9).reshape(3, 1, 1, 9)) * jnp.ones(
        (3, *reach(x, side, stride, around), 9)
    )
    asked: list[tuple[Any, ...]] = [
        (calls.FORWARD, x, kernel, y.shape),
        (calls.TO_IMAGES, y, kernel, x.shape),
        (calls.TO_KERNEL, x, y, kernel.shape),
    ]
    for kind, a, b, shape in asked:
        rounded = (part.astype(jnp.bfloat16).astype(jnp.float32) for part in (a, b))
        expected = calls.convolve(kind, *rounded, shape, stride, around)
        found = calls.convolve(kind, a, b, shape, stride, around, "bfloat16")
        np.testing.assert_allclose(found, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_many_at_once_wait_for_nobody() -> None:
    kernels = [drawn(3, 3, 8, 8) / (9 + n) for n in range(16)]

    @jax.jit
    def gradients(x: jax.Array) -> list[jax.Array]:
        def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            seen = [convolved(x, kernel, 1, "float32") for kernel in kernels]
            return sum(seen[1:], start=seen[0]) / 16, None

        return [jax.grad(lambda x: jnp.square(lax.scan(step, x, None, length=20)[0]).sum())(x)]

    for _ in range(5):
        (found,) = gradients(drawn(8, 8, 8, 8))
        assert jnp.isfinite(found).all()


def test_members_of_a_population_have_their_own() -> None:
    x, kernels = drawn(2, 6, 6, 3), drawn(4, 3, 3, 3, 5)
    found = jax.vmap(lambda kernel: convolved(x, kernel, 1, "float32"))(kernels)
    for result, kernel in zip(found, kernels, strict=True):
        np.testing.assert_array_equal(result, convolved(x, kernel, 1, "float32"))


def test_a_network_is_trained_to_the_same_bits_again(tmp_path: Any) -> None:
    recipe = mlplab.recipe(
        "cnn-small",
        data={"name": "digits", "share": 0.2},
        model={"channels": [8, 8]},
        training={"epochs": 2, "batch_size": 32},
        schedule={"warmup_epochs": 1},
    )
    one, other = (train(recipe, tmp_path, name) for name in "ab")
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]
