from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlplab.models import conversion, saving
from mlplab.models.layers.dense import Dense, Precision, product

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 96)).astype(np.float32)
W = RNG.standard_normal((96, 32)).astype(np.float32)


def exact(x: np.ndarray) -> np.ndarray:
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


def test_the_factors_are_rounded_and_the_sum_is_not() -> None:
    expected = exact(X) @ exact(W)
    result = product(X, W, "bfloat16")
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
    assert abs(np.asarray(result) - X @ W).max() > 1e-3


@pytest.mark.parametrize(("precision", "rounded"), [("bfloat16", exact), ("float32", np.asarray)])
def test_gradients_are_those_of_the_product_of_rounded_factors(
    precision: Precision, rounded: Callable[[NDArray[np.float32]], NDArray[Any]]
) -> None:
    g = RNG.standard_normal((64, 32)).astype(np.float32)
    _, back = jax.vjp(lambda x, w: product(x, w, precision), X, W)
    to_x, to_w = back(jnp.asarray(g))
    np.testing.assert_allclose(to_x, rounded(g) @ rounded(W).T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_w, rounded(X).T @ rounded(g), rtol=1e-4, atol=1e-4)
    assert to_x.dtype == to_w.dtype == jnp.float32


@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"use_bias": False}])
def test_it_is_the_dense_layer_of_keras_to_three_digits(
    options: dict[str, Any], tmp_path: Path
) -> None:
    inputs = keras.Input((96,))
    model = keras.Model(inputs, Dense(32, "bfloat16", name="dense_1", **options)(inputs))
    plain = keras.layers.Dense(32, **options)
    plain.build((None, 96))
    plain.set_weights(model.get_weights())
    ours, theirs = np.asarray(model(X)), np.asarray(plain(X))
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    saving.save(conversion.to_keras(model), tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is keras.layers.Dense
    np.testing.assert_allclose(loaded.predict(X, verbose=0), theirs, atol=1e-5)
