from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from mlplab import models
from mlplab.errors import RecipeError
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.user_code import load_object
from mlplab.recipes.networks import CustomModel

MODULE = """
import keras

NUMBER = 3

def tiny(input_shape, classes, scaling, seed, width=4):
    dense = keras.layers.Dense(width, kernel_initializer=keras.initializers.HeNormal(seed=seed))
    layers = [scaling, keras.layers.Flatten(), dense]
    return keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")])

def own_scaling(input_shape, classes, **options):
    images = keras.Input(input_shape, dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(options["scale"])(images))
    return keras.Model(images, keras.layers.Dense(classes, activation="softmax")(x))

def logits():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "linear", name="d")])

def wrong_classes():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7)])

def wrong_input():
    return keras.Sequential([keras.Input((9,)), keras.layers.Dense(3)])

def no_model():
    return 5

def fails():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the current directory."""
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_that_name")
    monkeypatch.chdir(tmp_path)
    return name


def build(name: str, trust: bool = True, **params: object) -> keras.Model:
    settings = CustomModel(name=name, **params)
    return models.build(settings, models.Task((4, 4, 1), 3, scaling_layer("unit"), 0), trust=trust)


def test_builds_a_model_of_the_users_own(mine: str) -> None:
    model = build(f"{mine}:tiny", width=6)
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    np.testing.assert_allclose(np.sum(model(images), axis=1), 1, atol=1e-6)
    assert model.count_params() == 16 * 6 + 6 + 6 * 3 + 3


def test_keywords_that_the_function_collects_reach_it(mine: str) -> None:
    assert build(f"{mine}:own_scaling", scale=0.5).layers[1].scale == 0.5


def test_untrusted_code_is_not_imported(mine: str, tmp_path: Path) -> None:
    (tmp_path / f"{mine}.py").write_text("raise SystemExit('imported')")
    with pytest.raises(RecipeError, match="only with --trust"):
        build(f"{mine}:tiny", trust=False)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("nowhere:f", {}, "there is no module 'nowhere'"),
        ("{}_broken:f", {}, "importing .* failed: ModuleNotFoundError: No module named 'nothing"),
        ("{}:tinyy", {}, "has no 'tinyy'; did you mean 'tiny'"),
        ("{}:NUMBER", {}, "cannot be called"),
        ("{}:tiny", {"widht": 3}, "'model.widht' is not a parameter .*'width'"),
        ("{}:tiny", {"seed": 3}, "'model.seed' is set by mlplab"),
        ("builtins:type", {}, "has no readable signature"),
        ("{}:fails", {}, "failed: RuntimeError: no luck"),
        ("{}:no_model", {}, "returned int; a keras.Model is expected"),
        ("{}:wrong_classes", {}, r"gives \(None, 7\); \[n, 3\] is expected"),
        ("{}:wrong_input", {}, r"does not take uint8 images of shape \[n, 4, 4, 1\]"),
        ("{}:logits", {}, "does not give probabilities"),
    ],
)
def test_refuses_in_one_line(name: str, params: dict[str, Any], message: str, mine: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        build(name.format(mine), **params)
    assert "\n" not in str(raised.value)


def test_finds_classes_too(mine: str) -> None:
    assert load_object("keras.callbacks:Callback", trust=True) is keras.callbacks.Callback
