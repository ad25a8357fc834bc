"""Completion of a recipe with Keras's names and every default; contradictions are refused."""

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
    optimizer = optimizers.complete(recipe.optimizer)
    optimizers.check_average(recipe.average, optimizer)
    schedule = recipe.schedule
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


def code(recipe: Recipe) -> user_code.Sources:
    """Return the source files of the user's own code that a completed recipe names."""
    named = [recipe.model, *recipe.callbacks.values()]
    return user_code.sources(
        settings.name
        for settings in named
        if isinstance(settings, CustomModel) or (isinstance(settings, Named) and settings.is_custom)
    )
