"""A compiled Keras model as a recipe: the way from a Keras program into mlplab."""

from typing import Any

import keras

from mlplab import recipes
from mlplab.errors import RecipeError
from mlplab.models import parts
from mlplab.plain.chain import network_of
from mlplab.plain.compiled import optimization_of
from mlplab.recipes.networks import Network
from mlplab.recipes.overrides import Tables, leaves
from mlplab.recipes.recipe import Recipe


def recipe_of(model: keras.Model, **tables: Any) -> Recipe:
    """Return the recipe of a compiled multilayer perceptron.

    It has the same network, optimizer, learning-rate schedule, loss and precision. What a model
    does not know, such as the data set and the number of epochs, is as in ``mlplab.recipe``'s
    defaults, or given here.

    Args:
        model: a ``keras.Sequential``, or a functional model that is a chain: ``Rescaling``,
            ``Flatten``, then ``Dense`` layers with ``BatchNormalization`` or
            ``LayerNormalization``, ``Activation`` and ``Dropout``, and a softmax.
        **tables: keys to add, by table: ``data={"name": "mnist"}``, ``seed=3``.

    Raises:
        RecipeError: naming the first layer or setting that a recipe has no key for.

    Examples:
        >>> import mlplab, keras
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(64, "relu")]
        >>> model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> recipe = mlplab.recipe_of(model, data={"name": "digits"})
        >>> recipe.model.hidden, recipe.optimizer.name
        ([64], 'Adam')
    """
    if not isinstance(model, keras.Model):
        raise RecipeError(f"recipe_of takes a keras.Model, not {type(model).__name__}")
    if not model.compiled or model.optimizer is None:
        raise RecipeError("the model has no optimizer and no loss: call model.compile first")
    found, precision = network_of(model)
    known = {**optimization_of(model), **found}
    known["training"] = {**known.get("training", {}), "precision": precision}
    recipe = recipes.validate(_merged(known, recipes.override({}, leaves(tables))))
    if not isinstance(recipe.model, Network):
        return recipe
    return recipe.model_copy(update={"model": parts.complete(recipe.model)})


def _merged(tables: Tables, given: Tables) -> Tables:
    """Return tables with other keys added, or put in their place."""
    merged = dict(tables)
    for key, value in given.items():
        inner = merged.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            value = _merged(inner, value)
        merged[key] = value
    return merged
