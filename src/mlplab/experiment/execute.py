"""The function that joins data, model, optimizer, engine, evaluation and record."""

import time
from collections.abc import Sequence
from datetime import datetime

import jax

from mlplab import files
from mlplab.errors import RecipeError
from mlplab.experiment.finish import finish
from mlplab.experiment.interrupt import ending_later, interruptible
from mlplab.experiment.isolation import isolated
from mlplab.experiment.options import Options
from mlplab.experiment.session import Session, begin, recorded
from mlplab.experiment.startup import compile_cpp, prepared, start
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, lock, store
from mlplab.runs.run import Run
from mlplab.training import devices
from mlplab.training.engine import fit
from mlplab.training.plan import Plan, Progress, reporting
from mlplab.training.profile import profile


@isolated()
def run(recipe: Recipe, options: Options, progress: Progress | None = None) -> Run:
    """Train, evaluate and record one run.

    Args:
        recipe: what to do.
        options: where, and under what name.
        progress: receives the training's reports.

    Returns:
        The run. Its record's ``status`` is ``finished``; ``interrupted`` after Ctrl-C, SIGTERM or
        SIGHUP, with the weights of that moment; or ``diverged`` if the loss was no longer finite.

    Raises:
        UserError: for what the user can fix, before anything is written.
        StorageError: if the disk is full or the runs folder cannot be written.
    """
    started = time.perf_counter()
    progress = reporting(progress)
    check(recipe, options)
    shared = devices.choose(options.devices)
    start(recipe, progress)
    experiment = prepared(recipe, options, progress)
    compile_cpp(experiment.is_worth_cpp, progress)
    folder = store.create(options.runs_dir, options.name or default_name(options, recipe))
    if options.name is not None and folder.name != options.name:
        progress.on_note(f"there is a run {options.name} already: this one is {folder.name}")
    with lock.writing(folder):
        session = Session(experiment, options, progress, folder, started)
        begin([session])
        carry_out(session, shared)
    return Run(folder)


def carry_out(session: Session, shared: Sequence[jax.Device]) -> None:
    """Train, evaluate and record a new or resumed run."""
    storage = files.storage(f"the run folder {session.folder}")
    with ending_later(), recorded([session]), storage:
        with interruptible() as should_stop:
            plan = session.plan(should_stop, shared=shared)
            begun = time.perf_counter()
            fitted = fit(session.experiment.trained, plan)
            session.trained(fitted, time.perf_counter() - begun)
        if session.options.profile and fitted.ending in ("epochs", "callback"):
            _profile(session, plan)
        finish(session)


def _profile(session: Session, plan: Plan) -> None:
    """Profile; an error there must not cost the training."""
    try:
        profile(session.experiment.trained, plan, session.folder / layout.PROFILE)
    except (Exception, KeyboardInterrupt) as error:
        session.progress.on_note(f"profiling failed: {error or type(error).__name__}")


def check(recipe: Recipe, options: Options) -> None:
    """Refuse, before anything is loaded, a name or a recipe that contradicts the options.

    Raises:
        UserError: saying what to change.
    """
    if options.name is not None:
        store.check_name(options.name)
    if recipe.data.validation == "test" and options.test is False:
        raise RecipeError(
            "this recipe validates on the test split, which --no-test forbids;"
            " hold validation images out of training: data.validation=0.1"
        )


def default_name(options: Options, recipe: Recipe, what: str = "") -> str:
    """Return ``<recipe>-<date>-<time>-<what>s<seed>``."""
    stem = store.name_from(options.recipe_name, "recipe")
    return f"{stem}-{datetime.now():%Y%m%d-%H%M%S}-{what}s{recipe.seed}"
