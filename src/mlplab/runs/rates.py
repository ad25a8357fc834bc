"""A learning-rate range test of a recipe."""

from collections.abc import Callable
from pathlib import Path

from mlplab.config import Recipe
from mlplab.runs.prepare import prepare
from mlplab.training.augment import Augmentation
from mlplab.training.compilation import keep_compiled
from mlplab.training.rate_finder import RangeTest, range_test


def find(
    recipe: Recipe,
    data_dir: Path | None,
    low: float,
    high: float,
    steps: int,
    trust: bool,
    note: Callable[[str], None],
    runs_dir: Path = Path("runs"),
) -> RangeTest:
    """Raise the learning rate of a recipe from ``low`` to ``high``, without schedule and teachers.

    Raises:
        UserError: for what the user can mend.
    """
    keep_compiled(note)
    plain = recipe.model_copy(update={"schedule": None, "callbacks": {}, "teacher": None})
    experiment = prepare(plain, data_dir, trust, note, runs_dir=runs_dir)
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
