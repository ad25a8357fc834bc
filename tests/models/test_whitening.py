from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from mlplab import models
from mlplab.errors import RecipeError
from mlplab.models import conversion, saving, whitening
from mlplab.models.filters import first_filters
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.layers.pooling import AveragePooling2D
from mlplab.recipes.networks import FAMILIES
from mlplab.recipes.networks.mlp import MLP

SHAPE = (4, 6, 3)


def build(**options: Any) -> keras.Model:
    return models.build(
        MLP(hidden=[5], **options), models.Task(SHAPE, 3, scaling_layer("symmetric"), 0)
    )


def images(n: int = 400) -> np.ndarray:
    """Images whose pixels resemble their neighbours."""
    noise = np.random.default_rng(0).normal(size=(n, *SHAPE))
    return (128 + 20 * noise.cumsum(axis=1).cumsum(axis=2)).clip(0, 255).astype(np.uint8)


def components(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    return keras.Model(model.inputs, model.get_layer("whitening").output).predict(
        pictures, verbose=0
    )


@pytest.mark.parametrize("pool", [1, 2])
def test_components_are_uncorrelated_and_of_like_variance(pool: int) -> None:
    model = build(whitening=12, pool=pool)
    whitening.fit(model, MLP(whitening=12, whitening_epsilon=1e-6), images())
    seen = components(model, images())
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(seen.T), np.eye(12), atol=0.02)


WHITENING = [name for name, cls in FAMILIES.items() if "whitening" in cls.model_fields]


@pytest.mark.parametrize("name", WHITENING)
def test_every_family_that_can_whiten_fits_its_whitening(name: str) -> None:
    settings = FAMILIES[name].model_validate({"name": name, "whitening": 6})
    model = models.build(settings, models.Task(SHAPE, 3, scaling_layer("symmetric"), 0))
    models.fit(model, settings, images(50))
    assert np.linalg.norm(model.get_layer("whitening").kernel) > 0


def test_zca_whitens_pixels_and_keeps_them_in_their_places() -> None:
    model = build(whitening=72, whitening_form="zca", whitening_epsilon=1e-3)
    settings = MLP(whitening=72, whitening_form="zca", whitening_epsilon=1e-3)
    whitening.fit(model, settings, images())
    kernel = np.asarray(model.get_layer("whitening").kernel)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-4)
    assert (np.argmax(kernel, axis=0) == np.arange(72)).mean() > 0.9
    seen = np.cov(components(model, images()).T)
    assert abs(seen - np.diag(np.diag(seen))).max() < 0.2


def test_epsilon_keeps_small_components_small() -> None:
    model = build(whitening=72)
    whitening.fit(model, MLP(whitening=72), images())
    deviations = components(model, images()).std(axis=0)
    assert (np.diff(deviations) < 1e-4).all()
    assert deviations[0] > 0.9
    assert deviations[-1] < 0.5


def test_whitening_is_not_trained_and_is_saved_in_layers_of_keras(tmp_path: Path) -> None:
    model = build(whitening=12, pool=2)
    whitening.fit(model, MLP(whitening=12), images())
    assert {v.path.split("/")[0] for v in model.trainable_variables} == {"dense_1", "output"}
    model.compile(loss="sparse_categorical_crossentropy")
    saving.save(conversion.to_keras(model), tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(images(9)), model.predict(images(9)), rtol=1e-5)
    assert type(loaded.get_layer("whitening")) is keras.layers.Dense
    assert type(loaded.get_layer("pool")) is keras.layers.AveragePooling2D


def test_filters_are_seen_through_the_whitening() -> None:
    model = build(whitening=12, pool=2)
    whitening.fit(model, MLP(whitening=12), images())
    found = first_filters(model)
    assert found is not None
    kernel, shape = found
    assert shape == (2, 3, 3)
    first = np.asarray(model.get_layer("whitening").kernel) @ model.get_layer("dense_1").kernel
    np.testing.assert_allclose(kernel, first, rtol=1e-5)


def test_no_filters_where_the_first_trained_layer_sees_no_pixels() -> None:
    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    assert first_filters(keras.Model(inputs, keras.layers.Dense(3)(x))) is None


@pytest.mark.parametrize("pool", [2, 3])
def test_pooling_is_kerass(pool: int) -> None:
    x = np.random.default_rng(0).normal(size=(5, 7, 8, 3)).astype(np.float32)
    ours, theirs = AveragePooling2D(pool)(x), keras.layers.AveragePooling2D(pool)(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 5}, "model.pool = 5 is larger than the images, 4×6 pixels"),
        ({"pool": 2, "whitening": 19}, "model.whitening = 19 components of 18 inputs: at most 18"),
    ],
)
def test_refuses_what_the_images_are_too_small_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(**options)
