import keras
import numpy as np
import pytest

from mlplab.errors import RecipeError
from mlplab.recipes.recipe import Loss
from mlplab.training import losses

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
LABELS = np.array([0, 1], np.int32)


def value(settings: Loss) -> float:
    loss = losses.build(settings)
    return float(loss(losses.encode(loss, LABELS, 3), PROBABILITIES))


def test_the_default_is_the_mean_negative_log_likelihood() -> None:
    assert value(Loss()) == pytest.approx(-np.log([0.7, 0.3]).mean(), rel=1e-6)


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    uniform = -np.log(PROBABILITIES).mean()
    expected = 0.8 * -np.log([0.7, 0.3]).mean() + 0.2 * uniform
    assert value(Loss(label_smoothing=0.2)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_gets_labels_in_its_form(name: str) -> None:
    assert np.isfinite(value(Loss(name=name)))


def test_smoothing_is_refused_where_the_loss_has_none() -> None:
    with pytest.raises(RecipeError, match="label_smoothing"):
        losses.build(Loss(name="mean_squared_error", label_smoothing=0.1))


def test_an_unknown_loss_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="categorical_crossentropy"):
        losses.build(Loss(name="categorical_crossentropi"))


def test_class_names_of_keras_work_too() -> None:
    assert isinstance(
        losses.build(Loss(name="CategoricalCrossentropy")), keras.losses.CategoricalCrossentropy
    )
