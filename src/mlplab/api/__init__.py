"""mlplab from Python: the same as on the command line."""

from mlplab.api.comparing import compare, load_run
from mlplab.api.folds import cross_validate
from mlplab.api.run import Run
from mlplab.api.studies import lr_find, study
from mlplab.api.training import recipe, resume, train, train_population
from mlplab.recipes.recipe import Recipe

__all__ = [
    "Recipe",
    "Run",
    "compare",
    "cross_validate",
    "load_run",
    "lr_find",
    "recipe",
    "resume",
    "study",
    "train",
    "train_population",
]
