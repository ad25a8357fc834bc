"""Probabilities of images as they are, and averaged over their views."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlplab.errors import RecipeError
from mlplab.evaluation import evaluate
from mlplab.models import footprint
from mlplab.recipes.recipe import Evaluation

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 5, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network that tells left from right, top from bottom and colour from colour."""
    layers = [
        keras.Input((5, 4, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(6, "relu", kernel_initializer=keras.initializers.HeNormal(0)),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, "softmax", kernel_initializer=keras.initializers.HeNormal(1)),
    ]
    return keras.Sequential(layers)


def moved(images: NDArray[np.uint8], down: int, right: int, k: int) -> NDArray[np.uint8]:
    wide = np.pad(images, ((0, 0), (k, k), (k, k), (0, 0)), mode="reflect")
    return wide[:, k - down : k - down + 5, k - right : k - right + 4]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (Evaluation(tta_flip=True), 2),
        (Evaluation(tta_shift=1), 5),
        (Evaluation(tta_flip=True, tta_shift=2), 10),
    ],
    ids=str,
)
def test_an_image_gets_the_mean_of_its_views_by_hand(
    settings: Evaluation, count: int, model: keras.Model
) -> None:
    k = settings.tta_shift
    moves = {(0, 0), (-k, 0), (k, 0), (0, -k), (0, k)}
    shown = [moved(IMAGES, down, right, k) for down, right in moves]
    if settings.tta_flip:
        shown += [view[:, :, ::-1] for view in shown]
    assert len(shown) == count == len(evaluate.views(settings))
    each = [model.predict(view, verbose=0) for view in shown]
    averaged = evaluate.over_views(model, settings)(IMAGES)
    np.testing.assert_allclose(averaged, np.mean(each, axis=0), atol=1e-6)
    assert np.abs(averaged - evaluate.probabilities(model, IMAGES)).max() > 0.01


def test_an_image_and_its_mirror_image_get_the_same(model: keras.Model) -> None:
    classify = evaluate.over_views(model, Evaluation(tta_flip=True, tta_shift=1))
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    np.testing.assert_allclose(classify(mirrored), classify(IMAGES), atol=1e-6)
    plain = evaluate.probabilities(model, mirrored) - evaluate.probabilities(model, IMAGES)
    assert np.abs(plain).max() > 0.01


def test_the_batch_has_no_say(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    classify = evaluate.over_views(model, Evaluation(tta_shift=1))
    whole = classify(IMAGES)
    assert whole.shape == (11, 3)
    monkeypatch.setattr(footprint, "MOST", 4)
    np.testing.assert_allclose(classify(IMAGES), whole, atol=1e-6)


def test_a_move_out_of_the_image_is_refused() -> None:
    evaluate.check(Evaluation(tta_shift=3), (5, 4, 3))
    with pytest.raises(RecipeError, match=r"tta_shift = 4 .* 4 pixels: at most 3"):
        evaluate.check(Evaluation(tta_shift=4), (5, 4, 3))
