"""What every training starts with: new or resumed, alone or in a population, and range tests."""

import gc
import weakref

import keras

from mlplab.data import Dataset
from mlplab.experiment import environment
from mlplab.experiment.options import Options
from mlplab.experiment.prepare import Experiment, prepare
from mlplab.recipes.recipe import Recipe
from mlplab.training.compilation import keep_compiled
from mlplab.training.plan import Progress

_trained: weakref.WeakSet[keras.Model] = weakref.WeakSet()


def start(recipe: Recipe, progress: Progress) -> None:
    """Make the process ready to train: cache of compiled programs, notes, memory."""
    keep_compiled(progress.on_note)
    note = environment.precision_note(recipe.training.precision)
    if note is not None:
        progress.on_note(note)
    _release()


def prepared(
    recipe: Recipe, options: Options, progress: Progress, dataset: Dataset | None = None
) -> Experiment:
    """Return a recipe made ready, as :func:`~mlplab.experiment.prepare.prepare` does.

    Args:
        recipe: complete or not.
        options: where the data and other runs are.
        progress: notes go there.
        dataset: the recipe's, where it is loaded already.
    """
    experiment = prepare(
        recipe, options.data_dir, options.trust, progress.on_note, dataset, options.runs_dir
    )
    _trained.add(experiment.model)
    return experiment


def _release() -> None:
    """Return the memory of earlier networks that nobody else holds.

    Networks refer to themselves in circles, which Python looks for seldom, as it goes by the number
    of objects, not by their size.
    """
    if _trained:
        gc.collect()
