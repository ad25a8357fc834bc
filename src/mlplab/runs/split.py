"""The splits of a data set that a recipe trains and is judged on."""

from mlplab import data
from mlplab.config import Recipe
from mlplab.data import Dataset, Splits


def split(dataset: Dataset, recipe: Recipe) -> Splits:
    """Split a data set as a recipe and its seed say."""
    settings = recipe.data
    return data.split(dataset, settings.validation, recipe.seed, settings.share)
