"""Objects of a program in the place of a recipe's tables: models, optimizers, callbacks."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mlplab.errors import RecipeError
from mlplab.models import given
from mlplab.recipes.overrides import Tables
from mlplab.training.compiled_with import loss_of, optimizer_of

# What an optimizer brings with it takes the place of these.
BESIDE = {"schedule": "none", "average": "none"}


def tables_of_model(model: Any, optimizer_too: bool) -> Tables:
    """Return the tables of a Keras model, or of a function that returns one.

    Args:
        model: a model, whose loss and optimizer count if it is compiled; or a function.
        optimizer_too: whether its optimizer is to be used.

    Raises:
        RecipeError: if it is neither, or cannot be copied, or has a loss that a recipe lacks.
    """
    tables: Tables = {}
    logits = False
    if isinstance(model, keras.Model) and model.compiled:
        if model.loss is not None:
            logits = bool(getattr(model.loss, "from_logits", False))
            tables["loss"] = loss_of(_of_probabilities(model.loss) if logits else model.loss)
        if optimizer_too:
            tables |= tables_of_optimizer(model.optimizer, model)
    return {"model": {"name": given.give_model(model, logits)}, **tables}


def tables_of_optimizer(
    optimizer: keras.optimizers.Optimizer, model: keras.Model | None = None
) -> Tables:
    """Return the tables of an optimizer: of one that recipes know, its parameters.

    Any other, or one with a learning rate that changes, is kept as an object.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise RecipeError(
            f"optimizer= is a {type(optimizer).__name__}; pass a keras.optimizers.Optimizer, or a"
            ' table such as {"name": "sgd", "learning_rate": 0.1}'
        )
    rate = optimizer.get_config().get("learning_rate")
    if isinstance(rate, int | float):
        try:
            return {**BESIDE, "optimizer": optimizer_of(optimizer, model)["optimizer"]}
        except RecipeError:
            pass  # one of the user's own
    return {**BESIDE, "optimizer": {"name": given.give_optimizer(optimizer)}}


def tables_of_callbacks(callbacks: Sequence[Any], taken: Sequence[str]) -> Tables:
    """Return the table ``[callbacks]`` of callback objects.

    Args:
        callbacks: of Keras, or of the user's own.
        taken: names of the callbacks of the recipe that they stand beside.
    """
    names = list(taken)
    tables: Tables = {}
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise RecipeError(
                f"callbacks= has a {type(callback).__name__}; pass keras.callbacks.Callback objects"
            )
        name = _unused(_snake(type(callback).__name__), names)
        names.append(name)
        tables[name] = {"name": given.give_callback(callback, name)}
    return {"callbacks": tables}


def tables_of(model: Any, optimizer: Any, callbacks: Any, taken: Sequence[str] = ()) -> Tables:
    """Return the tables that objects stand for; tables, and what is ``None``, stay as they are.

    Args:
        model: a model, a function that returns one, or a table.
        optimizer: an optimizer or a table.
        callbacks: objects in a list, or tables and objects by name.
        taken: names of callbacks that the recipe has.
    """
    tables: Tables = {}
    if isinstance(model, Mapping):
        tables["model"] = model
    elif model is not None:
        tables |= tables_of_model(model, optimizer_too=optimizer is None)
    if isinstance(optimizer, Mapping):
        tables["optimizer"] = optimizer
    elif optimizer is not None:
        tables |= tables_of_optimizer(optimizer)
    if isinstance(callbacks, Mapping):
        found = {
            name: {"name": given.give_callback(each, name)}
            if isinstance(each, keras.callbacks.Callback)
            else each
            for name, each in callbacks.items()
        }
        tables["callbacks"] = found
    elif callbacks is not None:
        listed = callbacks if isinstance(callbacks, Sequence) else [callbacks]
        tables |= tables_of_callbacks(listed, taken)
    return tables


def _of_probabilities(loss: keras.losses.Loss) -> keras.losses.Loss:
    return type(loss).from_config(loss.get_config() | {"from_logits": False})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _unused(name: str, taken: Sequence[str]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}_{number}"
        number += 1
    return found
