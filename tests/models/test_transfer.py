"""Networks that start from another one's weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mlplab
from mlplab import models
from mlplab.errors import RecipeError
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.transfer import take_over
from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.networks.mlp import MLP
from mlplab.runs.run import Run

ABC, BCD = ["a", "b", "c"], ["b", "c", "d"]


def network(shape: tuple[int, int, int] = (8, 8, 3), seed: int = 0, **options: Any) -> keras.Model:
    settings = MLP(hidden=[6, 5], normalisation="batch", **options)
    return models.build(settings, models.Task(shape, 3, scaling_layer("unit"), seed))


def test_the_same_network_is_taken_over_whole() -> None:
    model, source = network(seed=1), network()
    for variable in source.variables:
        variable.assign(variable + 0.5)
    taken = take_over(model, source, ABC, ABC)
    assert (taken.adapted, taken.fresh) == ([], [])
    for mine, theirs in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_of_other_classes_those_that_are_known_are_taken_over() -> None:
    model, source = network(seed=1), network()
    before = model.get_layer("output").get_weights()[0]
    taken = take_over(model, source, BCD, ABC)
    kernel, theirs = (net.get_layer("output").get_weights()[0] for net in (model, source))
    np.testing.assert_array_equal(kernel[:, :2], theirs[:, 1:])
    np.testing.assert_array_equal(kernel[:, 2], before[:, 2])
    assert taken.adapted == ["output: 2 classes are known"]


def test_the_output_of_unknown_classes_begins_anew() -> None:
    model, source = network(seed=1), network()
    before = model.get_layer("output").get_weights()[0]
    taken = take_over(model, source, ["x", "y", "z"], ABC)
    np.testing.assert_array_equal(model.get_layer("output").get_weights()[0], before)
    assert taken.fresh == ["output: none of its classes is known"]
    assert "dense_1" in taken.layers


@pytest.mark.parametrize("shape", [(16, 16, 3), (4, 4, 3), (8, 8, 1), (16, 12, 1)])
def test_the_first_layer_is_adapted_to_other_images(shape: tuple[int, int, int]) -> None:
    """A constant grey image gives what it gave."""
    model, source = network(shape, seed=1), network()
    taken = take_over(model, source, ABC, ABC)
    assert any(text.startswith("dense_1: for images of") for text in taken.adapted)
    found, expected = (
        np.asarray(net(np.full((1, *net.input.shape[1:]), 100, np.uint8)))
        for net in (model, source)
    )
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_convolution_is_adapted_to_grey_images() -> None:
    settings = CNN(channels=[4], hidden=[5])
    source, model = (
        models.build(settings, models.Task((8, 8, channels), 3, scaling_layer("unit"), 0))
        for channels in (3, 1)
    )
    take_over(model, source, ABC, ABC)
    grey = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    coloured = np.repeat(grey, 3, axis=3)
    np.testing.assert_allclose(np.asarray(model(grey)), np.asarray(source(coloured)), atol=1e-5)


def test_an_output_without_bias_begins_anew() -> None:
    source = network()
    images = keras.Input((8, 8, 3), dtype="uint8", name="images")
    x = keras.layers.Flatten(name="flatten")(images)
    outputs = keras.layers.Dense(3, "softmax", use_bias=False, name="output")(x)
    taken = take_over(keras.Model(images, outputs), source, BCD, ABC)
    assert taken.layers == []


def test_a_run_that_scales_starts_from_one_that_scales_otherwise(tmp_path: Path) -> None:
    short = {"training": {"epochs": 1}, "data": {"scaling": "symmetric", "share": 0.1}}
    train(tmp_path, "first", **short)
    run = train(
        tmp_path,
        "then",
        model={"hidden": [16], "init_from": "first"},
        training={"epochs": 1},
        data={"scaling": "standard", "share": 0.1},
    )
    assert run.record.status == "finished"


def test_layers_of_another_shape_begin_anew() -> None:
    taken = take_over(network(), network(whitening=20), ABC, ABC)
    assert [text.partition(":")[0] for text in taken.fresh] == ["dense_1"]


def train(folder: Path, name: str, **tables: object) -> Run:
    quick: dict[str, Any] = {
        "model": {"hidden": [16]},
        "training": {"epochs": 3},
        "callbacks": {"tensorboard": "none"},
    }
    chosen = mlplab.recipe("quickstart", **(quick | tables))
    return execute.run(chosen, Options(runs_dir=folder, name=name, keep="model"))


def test_a_run_starts_from_one_of_other_classes_and_says_so(tmp_path: Path) -> None:
    first, then = (
        {"name": "digits", "classes": [str(n) for n in numbers]}
        for numbers in (range(5), range(5, 10))
    )
    train(tmp_path, "first", data=first)
    run = train(
        tmp_path,
        "then",
        data=then,
        model={"hidden": [16], "init_from": "first"},
        training={"epochs": 1},
    )
    (source,) = run.record.sources
    assert "dense_1" in source.taken
    assert source.fresh == ["output: none of its classes is known"]
    assert source.class_names == list("01234")
    assert run.record.class_names == list("56789")
    with pytest.raises(RecipeError, match="no layer of first"):
        train(tmp_path, "other", data=then, model={"name": "lenet", "init_from": "first"})
