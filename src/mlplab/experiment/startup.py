"""The start of every training: new or resumed, single or in a population, and of range tests."""

import gc
import weakref

import keras

from mlplab.data import Dataset
from mlplab.experiment import environment, isolation
from mlplab.experiment.options import Options
from mlplab.experiment.prepare import Experiment, prepare
from mlplab.models.conversion import is_worth_cpp
from mlplab.models.native import library
from mlplab.recipes.recipe import Recipe
from mlplab.training.compilation import keep_compiled
from mlplab.training.plan import Progress

_told: set[str] = set()
_trained: weakref.WeakSet[keras.Model] = weakref.WeakSet()


def start(recipe: Recipe, progress: Progress) -> None:
    """Prepare the process for training: cache of compiled programs, notes, memory."""
    keep_compiled(progress.on_note)
    note = environment.precision_note(recipe.training.precision)
    if note is not None:
        progress.on_note(note)
    _release()


def prepared(
    recipe: Recipe, options: Options, progress: Progress, dataset: Dataset | None = None
) -> Experiment:
    """Return a recipe prepared for training, as :func:`~mlplab.experiment.prepare.prepare` does.

    Args:
        recipe: complete or not.
        options: where the data and other runs are.
        progress: receives notes.
        dataset: the recipe's, if it is already loaded.
    """
    experiment = prepare(
        recipe, options.data_dir, options.trust, progress.on_note, dataset, options.runs_dir
    )
    isolation.check_code()
    compile_cpp(is_worth_cpp(experiment.model), progress)
    _trained.add(experiment.model)
    return experiment


def compile_cpp(is_worth: bool, progress: Progress) -> None:
    """Compile the library of C++ if a training is worth it, and tell the user what it waits for."""
    if is_worth:
        _tell_once(library.before(), progress)
        _tell_once(library.note(), progress)


def _tell_once(note: str | None, progress: Progress) -> None:
    if note is not None and note not in _told:
        _told.add(note)
        progress.on_note(note)


def _release() -> None:
    """Release the memory of earlier networks that are no longer used.

    Networks contain reference cycles, which Python collects rarely, because it counts objects, not
    their size.
    """
    if _trained:
        gc.collect()
