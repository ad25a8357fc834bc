"""What a network has learnt, and resolutions that grow."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import mlplab
from mlplab import models
from mlplab.errors import RecipeError
from mlplab.evaluation.fields import fields, locality
from mlplab.evaluation.saliency import explainer
from mlplab.evaluation.sensitivity import sensitivity
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.models.layers.dense import coarsened
from mlplab.models.layers.inputs import scaling_layer
from mlplab.recipes.networks.mlp import MLP
from mlplab.runs.run import Run
from mlplab.training.resizing import square_of


def square(side: int, size: int = 16) -> np.ndarray:
    """A kernel [size * size * 3, 1] whose unit looks at a square of the image alone."""
    kernel = np.zeros((size, size, 3), np.float32)
    kernel[3 : 3 + side, 5 : 5 + side] = 0.7
    return kernel.reshape(-1, 1)


@pytest.mark.parametrize("side", [1, 4, 8, 11])
def test_a_unit_is_as_spread_as_the_square_that_it_looks_at(side: int) -> None:
    found = fields(jnp.asarray(square(side)), (16, 16, 3))
    np.testing.assert_allclose(found.spread, np.sqrt((side**2 - 1) / (16**2 - 1)), atol=1e-3)
    np.testing.assert_allclose(found.energy.sum(), 1, rtol=1e-5)


def test_local_units_are_counted_among_those_that_look_anywhere() -> None:
    model = models.build(
        MLP(hidden=[4]), models.Task((16, 16, 3), 2, scaling_layer("symmetric"), 0)
    )
    wide = np.ones((768, 1), np.float32)
    kernel = np.concatenate([square(4), square(5), wide, 0 * wide], axis=1)
    model.get_layer("dense_1").kernel.assign(kernel)
    assert locality(model)["local_share"] == pytest.approx(2 / 3)


def test_a_network_that_sees_no_flattened_image_has_no_fields() -> None:
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(images))
    assert locality(keras.Model(images, keras.layers.Dense(2)(x))) == {}


def test_saliency_finds_the_pixels_that_decide() -> None:
    model = models.build(MLP(hidden=[]), models.Task((6, 6, 1), 2, scaling_layer("symmetric"), 0))
    kernel = np.zeros((6, 6, 2), np.float32)
    kernel[1, 4] = [3, -3]
    model.get_layer("output").kernel.assign(kernel.reshape(36, 2))
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 1), np.uint8)
    found = explainer(model)(image)
    assert np.unravel_index(found.argmax(), found.shape) == (1, 4)
    assert (found > 0).sum() == 1


def test_sensitivity_measures_what_moves_and_noise_do() -> None:
    """A network that looks at one pixel answers moved images otherwise."""
    model = models.build(MLP(hidden=[]), models.Task((8, 8, 1), 2, scaling_layer("unit"), 0))
    kernel = np.zeros((8, 8, 2), np.float32)
    kernel[4, 4] = [-50, 50]
    model.get_layer("output").set_weights([kernel.reshape(64, 2), np.array([25, -25], np.float32)])
    images = np.zeros((20, 8, 8, 1), np.uint8)
    images[10:, 4, 4] = 255
    labels = np.repeat([0, 1], 10).astype(np.int32)
    found = sensitivity(model, images, labels)
    assert found["accuracy"] == 1
    assert [row["accuracy"] for row in found["shifts"]] == [0.5, 0.5, 0.5]
    assert found["noises"][0]["accuracy"] == 1


def test_squares_seen_by_their_means_are_images_of_these_means() -> None:
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(3, 6 * 4 * 2)), random.normal(size=(6 * 4 * 2, 5))
    means, sums = coarsened(jnp.asarray(x), jnp.asarray(kernel), 6, 4, 2, 2)
    small = x.reshape(3, 3, 2, 2, 2, 2).mean(axis=(2, 4))
    again = small.repeat(2, axis=1).repeat(2, axis=2).reshape(3, -1)
    np.testing.assert_allclose(means @ sums, again @ kernel, rtol=1e-4, atol=1e-5)


def test_stages_follow_one_another() -> None:
    assert [square_of([[2, 4], [1, 2]], epoch) for epoch in range(5)] == [4, 4, 2, 1, 1]


def test_a_network_learns_while_its_resolution_grows(tmp_path: Path) -> None:
    chosen = mlplab.recipe(
        "quickstart",
        training={"epochs": 4, "resizing": [[2, 4]]},
        callbacks={"tensorboard": "none"},
    )
    run = execute.run(chosen, Options(runs_dir=tmp_path, name="r", keep="results"))
    accuracies = [row["accuracy"] for row in run.history]
    assert accuracies[-1] > 0.85
    assert accuracies[1] < 0.75  # four numbers of an image are not enough


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"training": {"resizing": [[2, 3]]}}, "squares of 3 pixels do not tile images of 8×8"),
        ({"training": {"resizing": [[0, 2]]}}, "each stage is"),
        (
            {"training": {"resizing": [[1, 2]]}, "model": {"name": "cnn"}},
            "for dense networks on the flattened image",
        ),
    ],
)
def test_resolutions_that_do_not_fit_are_refused(
    tables: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        mlplab.train(mlplab.recipe("quickstart", **tables), runs_dir=tmp_path)


def test_a_run_records_what_it_has_learnt(finished: Run) -> None:
    run = finished
    learnt = run.record.learnt
    assert learnt["sensitivity"]["split"] == "validation"
    assert learnt["fields"]["units"] == 32
    assert {"local_share", "field_spread"} <= set(run.history[-1])
    for picture in ("receptive_fields", "sensitivity"):
        assert (run.folder / "figures" / f"{picture}.png").exists()
    assert all(layer["zero_share"] == 0 for layer in run.record.diagnostics["layers"])
