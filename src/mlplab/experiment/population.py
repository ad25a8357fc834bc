"""Many runs that differ in seed and learning rate, trained by one compiled program."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from mlplab import files, recipes
from mlplab.errors import RecipeError
from mlplab.experiment import features
from mlplab.experiment.complete import complete
from mlplab.experiment.execute import check, default_name
from mlplab.experiment.finish import finish
from mlplab.experiment.interrupt import ending_later, interruptible
from mlplab.experiment.isolation import isolated
from mlplab.experiment.options import Options
from mlplab.experiment.prepare import Experiment
from mlplab.experiment.session import Session, begin, recorded
from mlplab.experiment.startup import compile_cpp, prepared, start
from mlplab.recipes.recipe import Recipe
from mlplab.runs import lock, store
from mlplab.runs.record import Population
from mlplab.runs.run import Run
from mlplab.training import callbacks, population
from mlplab.training.arrays import Arrays
from mlplab.training.constants import RATES
from mlplab.training.hooks import needs_batches
from mlplab.training.plan import NotesOnce, Progress, reporting


@isolated()
def run(
    members: Sequence[Recipe],
    options: Options,
    progress: Progress | None = None,
    command: Callable[[Recipe], str] = lambda recipe: "",
) -> list[Run]:
    """Train, evaluate and record runs that differ only in their seed and learning rate.

    Args:
        members: their recipes.
        options: of all; a name is extended by what the members differ in.
        progress: of steps and rows, as means over the members that are being trained.
        command: command line that repeats a member as a single run.

    Returns:
        The runs, in the order of the recipes, each as ``execute.run`` leaves it.

    Raises:
        UserError: for what the user can fix, before anything is written.
        StorageError: if the disk is full or the runs folder cannot be written.
    """
    started = time.perf_counter()
    progress = reporting(progress)
    for member in members:
        check(member, options)
    completed = [complete(member, options.trust) for member in members]
    _check(completed, options.trust)
    start(completed[0], progress)
    experiments = _prepared(completed, options, progress)
    mode = population.choose_mode(_widths(experiments[0]))
    compile_cpp(mode == "map" and experiments[0].is_worth_cpp, progress)
    facts = Population(members=len(members), mode=mode)
    notes = NotesOnce(progress)
    sessions = []
    for experiment, name in zip(experiments, _names(completed, options), strict=True):
        recipe = experiment.recipe
        folder = store.create(options.runs_dir, name)
        own = replace(options, name=options.name and name, command=command(recipe))
        sessions.append(Session(experiment, own, notes, folder, started, facts))
    with ExitStack() as stack:
        for session in sessions:
            stack.enter_context(lock.writing(session.folder))
        _carry_out(sessions, mode, options, progress)
    return [Run(session.folder) for session in sessions]


def _carry_out(
    sessions: Sequence[Session], mode: population.Mode, options: Options, progress: Progress
) -> None:
    begin(sessions)
    storage = files.storage(f"the runs folder {options.runs_dir}")
    with ending_later(), recorded(sessions), storage:
        with interruptible() as should_stop:
            _train(sessions, mode, progress, should_stop)
        for session in sessions:
            finish(session)
            session.experiment.forget_splits()


def _prepared(
    completed: Sequence[Recipe], options: Options, progress: Progress
) -> list[Experiment]:
    """Prepare the members' networks over one data set."""
    experiments: list[Experiment] = []
    for recipe in completed:
        dataset = experiments[0].dataset if experiments else None
        experiment = prepared(recipe, options, progress, dataset)
        experiment.forget_splits()
        experiments.append(experiment)
    return experiments


def _train(
    sessions: Sequence[Session],
    mode: population.Mode,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    first = sessions[0].experiment
    data = first.dataset
    published = first.arrays(data.train.images, data.train.labels)
    tested = first.arrays(data.test.images, data.test.labels) if first.selects_on_test else None
    plans = []
    for session in sessions:
        splits = session.experiment.splits
        train = _rows(published, data.train.index, splits.train.index)
        validation = (
            _rows(published, data.train.index, splits.validation.index)
            if tested is None
            else tested
        )
        plans.append(session.plan(should_stop, train, validation))
        session.experiment.forget_splits()
    begun = time.perf_counter()
    models = [session.experiment.model for session in sessions]
    fits = population.fit(models, plans, mode, progress)
    for session, fit in zip(sessions, fits, strict=True):
        session.trained(fit, time.perf_counter() - begun)


def _rows(published: Arrays, index: NDArray[np.int64], chosen: NDArray[np.int64]) -> Arrays:
    """Return the images numbered ``chosen`` as rows of the published split, numbered ``index``."""
    ascending = np.argsort(index)
    places = ascending[np.searchsorted(index, chosen, sorter=ascending)]
    return Arrays(published.x, published.y, jnp.asarray(places.astype(np.int32)))


def _widths(experiment: Experiment) -> list[int]:
    matrices = [v.shape[-1] for v in experiment.model.trainable_variables if len(v.shape) > 1]
    return matrices[:-1] or [0]


def _check(completed: Sequence[Recipe], trust: bool) -> None:
    """Refuse members that one program cannot train like single runs."""
    if not completed:
        raise RecipeError("a population needs members: give at least one recipe")
    if completed[0].teacher is not None:
        raise RecipeError(
            "[teacher]: the members of a population have different training images, so one program"
            " cannot share predictions; train them one by one, without --population"
        )
    if features.is_head_only(completed[0]):
        raise RecipeError(
            "model.trainable = 0: populations do not support a head on frozen features; train one"
            " by one, without --population"
        )
    if completed[0].optimizer.is_custom:
        raise RecipeError(
            f"populations do not support an optimizer of your own ({completed[0].optimizer.name}):"
            " train the runs one by one, without --population"
        )
    if completed[0].training.resizing:
        raise RecipeError(
            "populations do not support training.resizing: leave it out, or train one by one,"
            " without --population"
        )
    first = _form(completed[0])
    for recipe in completed[1:]:
        changed = recipes.differences(first, _form(recipe))
        if changed:
            raise RecipeError(
                f"members of a population differ in {changed[0]}, which needs another program:"
                " only seed and optimizer.learning_rate may differ; train the others as separate"
                " runs"
            )
    if len({_rate(recipe) for recipe in completed}) > 1:
        for key, settings in completed[0].callbacks.items():
            if settings.name == "LearningRateScheduler":
                raise RecipeError(
                    f"callbacks.{key} (LearningRateScheduler) gives every member the same learning"
                    f" rate: remove it (callbacks.{key}=none), or vary only the seed"
                )
    seen: dict[tuple[int, float], Recipe] = {}
    for recipe in completed:
        twin = seen.setdefault((recipe.seed, _rate(recipe)), recipe)
        if twin is recipe:
            continue
        if twin.optimizer != recipe.optimizer:
            raise RecipeError(
                "optimizer.learning_rate has no effect in this recipe, whose [schedule] sets the"
                " rate: leave it out there, or vary only the seed"
            )
        raise RecipeError(
            f"a population has two members with seed {recipe.seed} and learning rate"
            f" {_rate(recipe):g}; give each once"
        )
    if completed[0].training.on_divergence == "rewind":
        raise RecipeError(
            'training.on_divergence = "rewind" repeats an epoch of one run, which a population'
            " cannot: use 'stop', or train the runs one by one (--seeds)"
        )
    for key, settings in completed[0].callbacks.items():
        if _has_batch_hooks(key, settings, trust):
            raise RecipeError(
                f"callbacks.{key} ({settings.name}) has hooks on batches, of which a population"
                f" runs many at once: remove it (callbacks.{key}=none), or train the runs one by"
                " one (--seeds)"
            )


def _has_batch_hooks(key: str, settings: Any, trust: bool) -> bool:
    if settings.is_custom:
        return needs_batches(callbacks.custom(f"callbacks.{key}", settings, trust))
    checkpoint = bool(settings.name == "ModelCheckpoint")
    return checkpoint and bool(settings.params["save_freq"] != "epoch")


def _form(recipe: Recipe) -> dict[str, Any]:
    """Return what the members of a population must share."""
    tables = recipes.to_tables(recipe)
    del tables["seed"], tables["optimizer"]["learning_rate"]
    for key in RATES:
        if isinstance(tables.get("schedule"), dict):
            tables["schedule"].pop(key, None)
    return tables


def _rate(recipe: Recipe) -> float:
    """Return the rate that a member starts from; never NaN, 0 if a schedule lists its rates."""
    if recipe.schedule is None:
        return float(recipe.optimizer.params["learning_rate"])
    given = [recipe.schedule.params[key] for key in RATES if key in recipe.schedule.params]
    return float(given[0]) if given else 0.0


def _names(completed: Sequence[Recipe], options: Options) -> list[str]:
    """Return the members' names, with the rate if it differs among them."""
    rates = [_rate(recipe) for recipe in completed]
    names = []
    for recipe, rate in zip(completed, rates, strict=True):
        what = f"lr{rate:g}-".replace("+", "") if len(set(rates)) > 1 else ""
        own = f"{options.name}-{what}s{recipe.seed}" if options.name else None
        names.append(store.check_name(own or default_name(options, recipe, what)))
    return names
