"""A learning-rate range test of a recipe."""

from mlplab.augment.pipeline import Augmentation
from mlplab.experiment.isolation import isolated
from mlplab.experiment.options import Options
from mlplab.experiment.startup import prepared, start
from mlplab.recipes.recipe import Recipe
from mlplab.training.plan import Progress, reporting
from mlplab.training.rate_finder import RangeTest, range_test


@isolated()
def find(
    recipe: Recipe,
    options: Options,
    progress: Progress | None,
    low: float,
    high: float,
    steps: int,
) -> RangeTest:
    """Raise the learning rate of a recipe from ``low`` to ``high``, without schedule and teachers.

    Raises:
        UserError: for what the user can fix.
    """
    plain = recipe.model_copy(update={"schedule": None, "callbacks": {}, "teacher": None})
    progress = reporting(progress)
    start(plain, progress)
    experiment = prepared(plain, options, progress)
    return range_test(
        experiment.trained,
        experiment.on_device("train"),
        recipe.training.batch_size,
        recipe.seed,
        low,
        high,
        steps,
        Augmentation(recipe.augment, recipe.seed),
        experiment.class_weights,
    )
