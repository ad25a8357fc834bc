"""Logits divided by a temperature within a network's own weights."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from scipy.special import softmax

from mlplab.errors import RecipeError
from mlplab.models import calibrated
from mlplab.models.from_pixels import with_softmax

INPUTS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


def small(activation: str | None, *after: keras.layers.Layer) -> keras.Model:
    layers = keras.layers
    first = [layers.Input((4,)), layers.Dense(5, activation="relu")]
    return keras.Sequential([*first, layers.Dense(3, activation=activation), *after])


@pytest.mark.parametrize(
    "make",
    [
        lambda: small("softmax"),
        lambda: small(None, keras.layers.Softmax()),
        lambda: small(None, keras.layers.Activation("softmax")),
        lambda: with_softmax(small(None)),
    ],
)
def test_only_the_certainty_changes(make: Callable[[], keras.Model]) -> None:
    model = make()
    before = model.predict(INPUTS, verbose=0)
    calibrated.divide_logits(model, 2.5)
    after = model.predict(INPUTS, verbose=0)
    np.testing.assert_allclose(after, softmax(np.log(before) / 2.5, axis=1), rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: small("sigmoid"),
        lambda: small(None),
        lambda: small("softmax", keras.layers.Dense(3)),
        lambda: small(None, keras.layers.Dropout(0.1), keras.layers.Softmax()),
        lambda: small("softmax", keras.layers.Softmax()),
    ],
)
def test_a_network_that_ends_otherwise_is_refused(make: Callable[[], keras.Model]) -> None:
    with pytest.raises(RecipeError, match="ends otherwise"):
        calibrated.check(make())


def test_a_layer_that_is_used_twice_is_refused() -> None:
    inputs = keras.Input((3,))
    twice = keras.layers.Dense(3)
    model = keras.Model(inputs, keras.layers.Softmax()(twice(twice(inputs))))
    with pytest.raises(RecipeError, match="ends otherwise"):
        calibrated.check(model)
