"""Completion of a recipe with Keras's names and every default; contradictions are refused."""

import keras

from mlplab import models
from mlplab.errors import RecipeError
from mlplab.experiment.paths import absolute
from mlplab.models import user_code
from mlplab.optim import optimizers, schedules
from mlplab.recipes.networks import CustomModel
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.schema import Named
from mlplab.training import callbacks, losses


def complete(recipe: Recipe, trust: bool = False) -> Recipe:
    """Return the recipe with Keras's names and defaults written out.

    Args:
        recipe: as given.
        trust: whether the user's own code may be loaded.

    Raises:
        RecipeError: if a network, optimizer, schedule, loss or callback does not exist or fit.
    """
    optimizer, schedule = recipe.optimizer, recipe.schedule
    if optimizer.is_custom:
        own_optimizer(recipe, trust)
    else:
        optimizer = optimizers.complete(optimizer)
        optimizers.check_average(recipe.average, optimizer)
    if schedule is not None:
        schedule = schedules.complete(schedule, optimizer.params["learning_rate"])
    listening = {
        key: callbacks.complete(key, named, trust) for key, named in recipe.callbacks.items()
    }
    losses.build(recipe.loss, recipe.augment.mixes, recipe.teacher)
    if recipe.teacher is not None and recipe.teacher.views and recipe.augment.mixes:
        raise RecipeError(
            "teacher.views: predictions cannot be computed in advance for images that are mixed"
            " within their batch; set teacher.views to 0, or augment.mixup and augment.cutmix"
        )
    if isinstance(recipe.model, CustomModel) and recipe.training.precision != "float32":
        raise RecipeError(
            f"training.precision = '{recipe.training.precision}' is for mlplab's own networks;"
            " custom networks set their own precision: leave it at 'float32' here"
        )
    completed = recipe.model_copy(
        update={
            "data": absolute(recipe.data),
            "model": models.complete(recipe.model, trust),
            "optimizer": optimizer,
            "schedule": schedule,
            "loss": losses.complete(recipe.loss),
            "callbacks": listening,
        }
    )
    callbacks.check_together(completed)
    return completed


def own_optimizer(recipe: Recipe, trust: bool, fresh: bool = True) -> keras.optimizers.Optimizer:
    """Return an optimizer of the user's own.

    Args:
        recipe: whose optimizer is ``module:class``; its other keys are its parameters.
        trust: whether the user's own code may be loaded.
        fresh: load its code again if it has changed.

    Raises:
        RecipeError: if it is not trusted, not found or no optimizer, or stands beside tables that
            are for mlplab's own optimizers.
    """
    settings = recipe.optimizer
    for table in ("schedule", "average"):
        if getattr(recipe, table) is not None:
            raise RecipeError(
                f"[{table}] is for optimizers that a recipe names; give {settings.name} its own,"
                f" and leave the table out ({table}=none)"
            )
    make = user_code.load_object(settings.name, trust, fresh)
    try:
        optimizer = make(**settings.params)
    except Exception as error:
        raise RecipeError(f"'{settings.name}' failed: {user_code.one_line(error)}") from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        kind = type(optimizer).__name__
        raise RecipeError(f"'{settings.name}' is {kind}; a keras.optimizers.Optimizer is expected")
    return optimizer


def code(recipe: Recipe) -> user_code.Sources:
    """Return the source files of the user's own code that a completed recipe names."""
    named = [recipe.model, recipe.optimizer, *recipe.callbacks.values()]
    return user_code.sources(
        settings.name
        for settings in named
        if isinstance(settings, CustomModel) or (isinstance(settings, Named) and settings.is_custom)
    )
