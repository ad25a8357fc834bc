from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplab.models import conversion, saving
from mlplab.models.layers.dropout import Dropout, SameDropout, hashed_bits

WORD = st.integers(0, 2**32 - 1)


def uniform(*key: int, shape: tuple[int, ...] = (256, 256)) -> np.ndarray:
    return np.asarray(hashed_bits(np.array(key, np.uint32), shape)) / 2**32


@settings(max_examples=20, deadline=None)
@given(first=WORD, second=WORD)
def test_bits_are_uniform_and_independent_of_their_neighbours(first: int, second: int) -> None:
    values = uniform(first, second)
    n = values.size
    # Five standard errors: one false alarm in a million or so.
    assert abs(values.mean() - 0.5) < 5 / np.sqrt(12 * n)
    for moved in (np.roll(values, 1, axis=0), np.roll(values, 1, axis=1)):
        assert abs(np.corrcoef(values.ravel(), moved.ravel())[0, 1]) < 5 / np.sqrt(n)


@settings(max_examples=20, deadline=None)
@given(first=WORD, step=st.integers(0, 2**31))
def test_bits_of_consecutive_steps_are_independent(first: int, step: int) -> None:
    one, two = uniform(first, step), uniform(first, step + 1)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 5 / np.sqrt(one.size)


def test_every_unit_and_every_bit_is_random() -> None:
    masks = np.stack([uniform(7, step, shape=(64, 64)) < 0.2 for step in range(400)])
    assert abs(masks.mean(axis=0) - 0.2).max() < 6 * np.sqrt(0.16 / 400)
    bits = np.asarray(hashed_bits(np.array([1, 2], np.uint32), (100_000,)))
    for place in range(32):
        assert abs(((bits >> place) & 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(bits.size)


def test_a_share_is_dropped_and_the_rest_scaled_up() -> None:
    layer = Dropout(0.2, seed=3)
    inputs = np.full((500, 200), 2.0, np.float32)
    outputs = np.asarray(layer(inputs, training=True))
    assert set(np.unique(outputs)) == {0.0, 2.5}
    assert (outputs == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert not np.array_equal(outputs, layer(inputs, training=True))
    np.testing.assert_array_equal(layer(inputs), inputs)


def test_a_saved_network_has_the_layers_of_keras_alone(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    hidden = Dropout(0.5, name="dropout_1")(keras.layers.Dense(3, name="dense_1")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="output")(hidden))
    saving.save(conversion.to_keras(model), tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("dropout_1")) is keras.layers.Dropout
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.999])
def test_in_a_network_of_ones_own_dropout_is_the_one_that_keras_draws(rate: float) -> None:
    layer = keras.layers.Dropout(rate, seed=5)
    images = np.random.default_rng(0).normal(size=(3, 500, 7)).astype(np.float32)
    before = np.asarray(layer.seed_generator.state)
    theirs = [np.asarray(layer(images, training=True)) for _ in range(2)]
    layer.seed_generator.state.assign(before)
    with conversion.fast_layers(keras.Sequential([layer])):
        assert type(layer) is SameDropout
        for wanted in theirs:
            assert np.array_equal(layer(images, training=True), wanted)
        assert np.array_equal(layer(images, training=False), images)
