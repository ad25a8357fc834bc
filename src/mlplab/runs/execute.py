"""The one function that joins data, model, optimizer, engine, judgement and record."""

import gc
import re
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import jax
import keras

from mlplab import files
from mlplab.config import Recipe
from mlplab.errors import RecipeError
from mlplab.runs import environment, lock, store
from mlplab.runs.facts import Options
from mlplab.runs.interrupt import interruptible
from mlplab.runs.job import Job, begin, recorded
from mlplab.runs.prepare import prepare
from mlplab.runs.run import Run
from mlplab.training import devices
from mlplab.training.compilation import keep_compiled
from mlplab.training.engine import Plan, Silent, Watcher, fit
from mlplab.training.profile import profile

_trained: weakref.WeakSet[keras.Model] = weakref.WeakSet()


def run(recipe: Recipe, options: Options, watcher: Watcher | None = None) -> Run:
    """Train, evaluate and record one run.

    Args:
        recipe: what to do.
        options: where, and under what name.
        watcher: hears of progress.

    Returns:
        The run. Its record's ``status`` is ``finished``; ``interrupted`` after Ctrl-C, with the
        weights of that moment; or ``diverged`` if the loss was no longer finite.

    Raises:
        UserError: for what the user can mend, before anything is written.
        StorageError: if the disk is full or the runs folder cannot be written.
    """
    begun = time.perf_counter()
    watcher = watcher or Silent()
    check(recipe, options)
    shared = devices.choose(options.devices)
    keep_compiled(watcher.on_note)
    tell_of_precision(recipe, watcher)
    _release()
    experiment = prepare(
        recipe, options.data_dir, options.trust, watcher.on_note, runs_dir=options.runs_dir
    )
    _trained.add(experiment.model)
    folder = store.create(options.runs_dir, options.name or default_name(options, recipe))
    with lock.writing(folder):
        job = Job(experiment, options, watcher, folder, begun)
        begin([job])
        carry_out(job, shared)
    return Run(folder)


def tell_of_precision(recipe: Recipe, watcher: Watcher) -> None:
    """Say so if this machine takes longer in the recipe's precision."""
    note = environment.precision_note(recipe.training.precision)
    if note is not None:
        watcher.on_note(note)


def _release() -> None:
    """Give the memory of the networks trained before back, where nobody else holds them.

    Networks refer to themselves in circles, which Python finds when it looks for such: seldom, as
    it goes by the number of objects, not by their size.
    """
    if _trained:
        gc.collect()


def carry_out(job: Job, shared: Sequence[jax.Device]) -> None:
    """Train, judge and record a run that has been begun, or taken up again."""
    with recorded([job]), files.storage(f"the run folder {job.folder}"):
        model = job.experiment.trained
        with interruptible() as should_stop:
            plan = replace(job.plan(should_stop), devices=shared)
            trained = time.perf_counter()
            fitted = fit(model, plan)
            job.trained(fitted, time.perf_counter() - trained)
        if job.options.profile and fitted.ending in ("epochs", "callback"):
            _profile(job, plan)
        job.finish()


def _profile(job: Job, plan: Plan) -> None:
    """Profile; what goes wrong there must not cost the training."""
    try:
        profile(job.experiment.trained, plan, job.folder / "profile")
    except (Exception, KeyboardInterrupt) as error:
        job.watcher.on_note(f"no profile was made: {error or type(error).__name__}")


def check(recipe: Recipe, options: Options) -> None:
    """Refuse, before anything is loaded, a name or a recipe that contradicts the options.

    Raises:
        UserError: saying what to change.
    """
    if options.name is not None:
        store.check_name(options.name)
    if recipe.data.validation == "test" and not options.open_test:
        raise RecipeError(
            "this recipe validates on the test split, which --no-test keeps closed;"
            " hold validation images out of training: data.validation=0.1"
        )


def default_name(options: Options, recipe: Recipe, what: str = "") -> str:
    """Return ``<recipe>-<date>-<time>-<what>s<seed>``."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", options.recipe_name).strip("-.") or "recipe"
    return f"{stem}-{datetime.now():%Y%m%d-%H%M%S}-{what}s{recipe.seed}"
