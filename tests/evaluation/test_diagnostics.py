import json
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlplab.evaluation.diagnostics import LayerStatistics, Probe, Statistics

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, 8, 8, 1), np.uint8)
LABELS = RANDOM.integers(0, 10, 64, np.int32)
RATE = 0.1


def build(
    loss: str = "sparse_categorical_crossentropy", labels: NDArray[Any] = LABELS, **options: Any
) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu", name="dense_1"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(8, name="dense_2"),
            keras.layers.Activation("relu", name="relu_2"),
            keras.layers.Dense(10, activation="softmax", name="output", kernel_regularizer="l2"),
        ]
    )
    model.compile(keras.optimizers.SGD(RATE, **options), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    model._symbolic_build(data_batch=(IMAGES[:2], labels[:2]))
    return model


def state(model: keras.Model) -> list[NDArray[Any]]:
    return [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]


@pytest.fixture(scope="module")
def shared() -> tuple[Probe, list[NDArray[Any]]]:
    model = build()
    return Probe(model, IMAGES, LABELS), state(model)


@pytest.fixture
def probe(shared: tuple[Probe, list[NDArray[Any]]]) -> Probe:
    """One compiled probe for all tests, its model as it was built."""
    probe, start = shared
    variables = [*probe.model.variables, *probe.model.optimizer.variables]
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    return probe


def by_layer(statistics: Statistics) -> dict[str, LayerStatistics]:
    return {layer.layer: layer for layer in statistics.layers}


def test_the_gradient_is_what_the_next_step_applies(probe: Probe) -> None:
    _, gradients = probe.measure()
    before = [variable.numpy() for variable in probe.model.trainable_variables]
    probe.model.train_on_batch(IMAGES, LABELS)
    for variable, old in zip(probe.model.trainable_variables, before, strict=True):
        step = RATE * gradients[variable.path]
        np.testing.assert_allclose(old - variable.numpy(), step, atol=1e-6)


def test_measuring_changes_nothing(probe: Probe) -> None:
    before = state(probe.model)
    assert probe() == probe()
    for old, new in zip(before, state(probe.model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_norms_and_ratios_follow_from_plain_gradient_descent(probe: Probe) -> None:
    statistics, gradients = probe.measure()
    layers = by_layer(statistics)
    of_dense_1 = [g for path, g in gradients.items() if "dense_1" in path]
    norm = np.sqrt(sum(np.square(g).sum() for g in of_dense_1))
    weights = probe.model.get_layer("dense_1").get_weights()
    weight = np.sqrt(sum(np.square(w).sum() for w in weights))
    assert layers["dense_1"].gradient_norm == pytest.approx(norm, rel=1e-5)
    assert layers["dense_1"].update_ratio == pytest.approx(RATE * norm / weight, rel=1e-3)
    squares = [x.gradient_norm**2 for x in layers.values() if x.gradient_norm is not None]
    assert statistics.global_gradient_norm == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)


def test_loss_scaling_is_taken_out(probe: Probe) -> None:
    plain = by_layer(probe())["dense_1"]
    scaled = by_layer(Probe(build(loss_scale_factor=1024.0), IMAGES, LABELS)())["dense_1"]
    assert scaled.gradient_norm == pytest.approx(plain.gradient_norm, rel=1e-4)
    assert scaled.update_ratio == pytest.approx(plain.update_ratio, rel=1e-3)


def test_units_that_no_image_activates_are_dead(probe: Probe) -> None:
    dense_1 = probe.model.get_layer("dense_1")
    light = np.sort(IMAGES.sum(axis=(1, 2, 3)) / 255)
    only_the_lightest = -light[-2:].mean()
    dense_1.kernel.assign(np.ones((64, 16)))
    dense_1.bias.assign([-1e6] * 4 + [only_the_lightest] * 12)
    probe.model.get_layer("dense_2").bias.assign([-1e9] * 2 + [1e9] * 6)
    layers = by_layer(probe())
    assert layers["dense_1"].dead_share == 0.25
    assert layers["relu_2"].dead_share == 0.25
    assert layers["relu_2"].gradient_norm is None
    assert layers["dense_2"].dead_share is None
    assert layers["output"].dead_share is None


def test_images_can_be_weighted_and_labels_be_one_hot(probe: Probe) -> None:
    weights = np.full(64, 3, np.float32)
    one_hot = np.eye(10, dtype=np.float32)[LABELS]
    _, plain = probe.measure()
    model = build("categorical_crossentropy", one_hot)
    _, weighted = Probe(model, IMAGES, one_hot, weights).measure()
    bias, of_weighted = list(plain.values())[-1], list(weighted.values())[-1]
    np.testing.assert_allclose(of_weighted, 3 * bias, rtol=1e-4)


def test_a_diverged_model_can_still_be_written_as_json(probe: Probe) -> None:
    probe.model.get_layer("dense_1").kernel.assign(np.full((64, 16), np.nan))
    tables = probe().to_json()
    assert json.loads(json.dumps(tables, allow_nan=False))["global_gradient_norm"] is None
    assert tables["probe"] == 64
    names = [layer["layer"] for layer in tables["layers"]]
    assert names == ["dense_1", "dense_2", "relu_2", "output"]
