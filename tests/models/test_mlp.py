import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from mlplab import models
from mlplab.errors import RecipeError
from mlplab.models import parts
from mlplab.models.layers.inputs import scaling_layer
from mlplab.recipes.networks.mlp import MLP

SHAPE = (4, 5, 3)


def build(options: MLP, seed: int = 0) -> keras.Model:
    return models.build(options, models.Task(SHAPE, 3, scaling_layer("symmetric"), seed))


def images(n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *SHAPE), np.uint8)


def test_the_published_network_has_its_parameters_and_layers() -> None:
    published = MLP(dropout=0.2)
    assert models.outline(published, (32, 32, 3), 10).count_params() == 6_305_802
    small = build(MLP(hidden=[4] * 4, dropout=0.2))
    hidden = [f"{kind}_{k}" for k in range(1, 5) for kind in ("dense", "dropout")]
    names = ["images", "scaling", "flatten", *hidden, "output"]
    assert [layer.name for layer in small.layers] == names
    assert small.get_layer("dense_1").activation is keras.activations.relu


@pytest.mark.parametrize(
    ("normalisation", "dropout", "penalty"),
    [*itertools.product(["none", "batch", "layer"], [0.0, 0.3], [0.0, 0.01])],
)
def test_gives_the_same_probabilities_after_saving(
    normalisation: Any, dropout: float, penalty: float, tmp_path: Path
) -> None:
    options = MLP(
        hidden=[7, 5], normalisation=normalisation, dropout=dropout, l1=penalty, l2=penalty
    )
    model = build(options)
    probabilities = np.asarray(model(images()))
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (6, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images()), probabilities)
    assert len(model.losses) == (3 if penalty else 0)


def test_weights_and_dropout_follow_from_the_seed_alone() -> None:
    options = MLP(hidden=[6, 6], dropout=0.5)
    first = build(options, seed=1)
    keras.utils.set_random_seed(99)
    build(MLP(hidden=[3]))
    again, other = build(options, seed=1), build(options, seed=2)
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
        if "bias" not in c.path:
            assert not np.array_equal(a, c)
    np.testing.assert_array_equal(first(images(), training=True), again(images(), training=True))


def test_layers_of_one_shape_differ_and_do_not_depend_on_depth() -> None:
    shallow, deep = build(MLP(hidden=[6, 6])), build(MLP(hidden=[6, 6, 6]))
    for name in ("dense_1", "dense_2"):
        np.testing.assert_array_equal(shallow.get_layer(name).kernel, deep.get_layer(name).kernel)
    assert not np.array_equal(deep.get_layer("dense_2").kernel, deep.get_layer("dense_3").kernel)


def test_models_in_one_process_have_the_same_names() -> None:
    options = MLP(hidden=[4], normalisation="batch")
    paths = [[v.path for v in build(options).weights] for _ in range(2)]
    assert paths[0] == paths[1]


def test_no_hidden_layers_make_a_linear_classifier() -> None:
    assert [layer.name for layer in build(MLP(hidden=[])).layers][-2:] == ["flatten", "output"]


@pytest.mark.parametrize("activation", parts.ACTIVATIONS)
def test_every_activation_works(activation: str) -> None:
    assert np.isfinite(build(MLP(hidden=[4], activation=activation))(images(1))).all()


@pytest.mark.parametrize("initialiser", parts.INITIALISERS)
def test_every_initialiser_works(initialiser: str) -> None:
    assert np.isfinite(build(MLP(hidden=[4], initialiser=initialiser))(images(1))).all()


def test_names_are_kerass_in_any_capitalisation() -> None:
    model = build(MLP(hidden=[4], activation="GELU", initialiser="HeNormal"))
    assert model.get_layer("dense_1").activation is keras.activations.gelu
    assert isinstance(model.get_layer("output").kernel_initializer, keras.initializers.HeNormal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relo"}, "model.activation = 'relo' is not known; did you mean 'relu'"),
        ({"activation": "relo", "hidden": []}, "model.activation"),
        ({"initialiser": "glorot"}, "model.initialiser = 'glorot' is not known; .*'glorot_"),
    ],
)
def test_refuses_unknown_names(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(MLP(**options))
