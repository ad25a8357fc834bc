"""Keras models as recipes."""

from typing import Any

import keras
import pytest

import mlplab
from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.experiment.complete import complete
from mlplab.experiment.prepare import prepare

layers = keras.layers

VARIED: dict[str, dict[str, Any]] = {
    "quickstart": {},
    "penalised": {
        "model": {"normalisation": "batch", "l1": 1e-5, "l2": 1e-4, "initialiser": "he_normal"},
        "optimizer": {"name": "sgd", "momentum": 0.9, "learning_rate": 0.05},
        "training": {"precision": "bfloat16"},
        "data": {"scaling": "unit"},
    },
    "scheduled": {
        "model": {"hidden": [20], "normalisation": "layer", "activation": "gelu", "pool": 2},
        "optimizer": {"name": "muon", "learning_rate": 0.02, "rms_rate": "none"},
        "schedule": {"name": "WarmupLinear", "warmup_epochs": 0.5},
        "training": {"epochs": 7},
        "average": {"momentum": 0.9},
        "data": {"scaling": "standard"},
    },
    "of Keras": {
        "model": {"hidden": [], "dropout": 0.0, "l2": 1e-4},
        "optimizer": {"name": "adamw", "weight_decay": 0.01},
        "schedule": {"name": "ExponentialDecay", "decay_steps": 10, "decay_rate": 0.5},
        "loss": {"name": "categorical_crossentropy", "label_smoothing": 0.1},
    },
}


@pytest.mark.parametrize("name", VARIED)
def test_a_network_of_a_recipe_is_read_back_as_that_recipe(name: str) -> None:
    recipe = complete(mlplab.recipe("quickstart", **VARIED[name]))
    model = prepare(recipe, None, False, lambda text: None).trained
    found = complete(mlplab.recipe_of(model, data={"name": "digits"}))
    ours, its = recipes.to_tables(recipe), recipes.to_tables(found)
    unknown = {"callbacks", "seed", "evaluation"}
    apart = [k for k in recipes.differences(ours, its) if k.split(".")[0] not in unknown]
    assert set(apart) <= {"training.epochs", "training.batch_size"}


def published() -> list[keras.layers.Layer]:
    hidden = [[layers.Dense(1024, activation="relu"), layers.Dropout(0.2)] for _ in range(4)]
    stack = [layer for pair in hidden for layer in pair]
    return [layers.Flatten(), *stack, layers.Dense(10, activation="softmax")]


@pytest.mark.parametrize("functional", [False, True])
def test_the_published_program_gives_the_published_recipe(functional: bool) -> None:
    if functional:
        inputs = x = keras.Input((32, 32, 3))
        for layer in published():
            x = layer(x)
        model = keras.Model(inputs, x)
    else:
        model = keras.Sequential(published())
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    found = recipes.to_tables(complete(mlplab.recipe_of(model)))
    known = recipes.to_tables(complete(mlplab.recipe("published")))
    for table in ("model", "optimizer", "loss"):
        assert found[table] == known[table]


def compiled(*stack: keras.layers.Layer, **options: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), *stack])
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options})
    return model


def softmax() -> keras.layers.Layer:
    return layers.Dense(10, activation="softmax")


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ([layers.Conv1D(4, 3)], r"layer \w+ \(Conv1D\): a recipe has no such layer before"),
        ([layers.Dense(4), layers.LeakyReLU()], r"\(LeakyReLU\): a recipe has no such layer"),
        ([layers.Dense(4, "relu"), layers.Dense(4, "tanh")], "model.activation is one for all"),
        (
            [layers.Dense(4, "relu"), layers.Dropout(0.2), layers.Dense(4, "relu")],
            "model.dropout is one for all layers, but here 0.0 after 0.2",
        ),
        ([layers.Dense(4, "relu"), layers.BatchNormalization()], "right after the product"),
        ([layers.Dense(4, use_bias=False)], "has a bias"),
        (
            [layers.Dense(4, use_bias=False), layers.BatchNormalization(momentum=0.9)],
            "no key for its momentum",
        ),
        ([layers.Dense(4, trainable=False)], "no frozen layers"),
        ([layers.Dense(4, kernel_initializer=keras.initializers.Zeros())], "model.initialiser is"),
    ],
)
def test_a_layer_that_no_recipe_has_is_named(stack: list[Any], said: str) -> None:
    if not isinstance(stack[0], layers.Conv1D):
        model = compiled(*stack, softmax())
    else:
        model = keras.Sequential([keras.Input((8, 8)), *stack, layers.Flatten(), softmax()])
        model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(RecipeError, match=said):
        mlplab.recipe_of(model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}, "from_logits"),
        ({"loss": "poisson"}, "no loss poisson"),
        ({"optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())}, "LossScale"),
    ],
)
def test_a_setting_that_no_recipe_has_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        mlplab.recipe_of(compiled(softmax(), **options))


def test_a_model_without_softmax_or_optimizer_is_refused() -> None:
    with pytest.raises(RecipeError, match="with a softmax"):
        mlplab.recipe_of(compiled(layers.Dense(10)))
    with pytest.raises(RecipeError, match=r"call model\.compile first"):
        mlplab.recipe_of(keras.Sequential([softmax()]))


def test_a_branch_is_no_chain() -> None:
    inputs = keras.Input((8,))
    x = layers.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, softmax()(layers.Add()([inputs, x])))
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(RecipeError, match="only a chain of layers"):
        mlplab.recipe_of(model)


def test_further_keys_are_added() -> None:
    found = mlplab.recipe_of(
        compiled(softmax()), data={"name": "digits"}, training={"epochs": 3}, seed=4
    )
    assert (found.data.name, found.training.epochs, found.seed) == ("digits", 3, 4)
