"""Resuming an interrupted run, with the result that it would have had without interruption."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mlplab import recipes
from mlplab.errors import RunError
from mlplab.experiment import environment, isolation
from mlplab.experiment.complete import code, complete
from mlplab.experiment.execute import carry_out
from mlplab.experiment.isolation import isolated
from mlplab.experiment.options import KEPT, Options
from mlplab.experiment.paths import absolute, as_recorded, same_place
from mlplab.experiment.prepare import Experiment
from mlplab.experiment.session import Session
from mlplab.experiment.startup import compile_cpp, prepared, start
from mlplab.models import user_code
from mlplab.recipes.recipe import Recipe
from mlplab.runs import checkpoint, layout, lock, store
from mlplab.runs.checkpoint import Checkpoint
from mlplab.runs.record import ENDED, UNFINISHED, Record
from mlplab.runs.run import Run
from mlplab.text import counted
from mlplab.training import devices
from mlplab.training.plan import Progress, reporting

# Other versions of these round differently, or draw other random numbers.
DECIDING = ("mlplab", "keras", "jax", "jaxlib", "numpy")


@isolated()
def resume(
    run: Run,
    options: Options,
    progress: Progress | None = None,
    data_path: Path | None = None,
) -> Run:
    """Continue an interrupted run, from its last checkpoint or from the beginning.

    Weights, metrics and predictions will be bit for bit those of an uninterrupted run.

    Args:
        run: that was interrupted, killed, or failed.
        options: ``data_dir``, ``trust`` and, if given, ``test``; all else is as it was when the
            run was started.
        progress: receives the training's reports.
        data_path: where the user's own images are now, if they were moved.

    Raises:
        RunError: if the run has ended or is being written, if it was part of a population that
            rounds differently, or if its recipe or the versions of the packages that compute have
            changed.
        DataError: if the data set is another one, or missing.
        StorageError: if the disk is full or the folder cannot be written.
    """
    started = time.perf_counter()
    progress = reporting(progress)
    with lock.writing(run.folder):
        record = store.read_own_record(run.folder)
        _check_unfinished(run, record)
        options = _options(record, options, run.folder)
        record.options["test"] = options.test
        saved = _saved(run.folder)
        recipe = complete(run.recipe, options.trust)
        _check_code(recipe, record)
        _check_recipe(recipe, run, record, saved)
        found = as_recorded(absolute(recipe.data, data_path), record)
        recipe = recipe.model_copy(update={"data": found})
        _check_versions(saved.run.versions if saved else record.versions, run.name)
        _check_variables(record)
        shared = devices.choose(options.devices)
        start(recipe, progress)
        experiment = prepared(recipe, options, progress)
        compile_cpp(experiment.is_worth_cpp, progress)
        _check_data(experiment, record)
        _check_sources(experiment, record)
        _compare_devices(record, len(shared), progress)
        session = Session(experiment, options, progress, run.folder, started, record=record)
        session.go_back(saved)
        progress.on_note(_where(saved))
        carry_out(session, shared)
    return run


def unfinished(recipe: Recipe, options: Options) -> Run | None:
    """Return the latest run of a recipe and seed that can be resumed, or ``None``.

    Args:
        recipe: the recipe to train.
        options: where to look, and the run's name if it must have one.
    """
    wanted = complete(recipe, options.trust)
    found: list[tuple[str, Path]] = []
    for folder in store.folders(options.runs_dir):
        if options.name not in (None, folder.name):
            continue
        try:
            record = store.read_record(folder)
        except RunError:
            continue
        resumable = record.status in UNFINISHED and record.population is None
        if resumable and is_run_of(wanted, Run(folder), record):
            found.append((record.started, folder))
    return Run(max(found)[1]) if found else None


def is_run_of(recipe: Recipe, run: Run, record: Record) -> bool:
    """Return whether a run is one of a complete recipe, with its seed, its images and its code.

    Raises:
        RunError: if the run's recipe is damaged.
    """
    theirs = run.recipe.data
    if recipe.data.path is not None and recipe.data.channels == "auto":
        recipe = recipe.model_copy(
            update={"data": recipe.data.model_copy(update={"channels": theirs.channels})}
        )
    digest = user_code.digest(code(recipe)) if record.code is not None else None
    # Records without a source_id have the path as it was given in their config_id.
    data = record.source_id or theirs.path
    same = recipes.has_config_id(record.config_id, recipe, record.source_ids, data, digest)
    return same and same_place(theirs, recipe.data) and record.seed == recipe.seed


def _check_unfinished(run: Run, record: Record) -> None:
    if record.status in ENDED:
        raise RunError(
            f"{run.name} has {record.status}: there is nothing to resume. To train it again:"
            f" {record.command or 'mlplab train'}"
        )
    if record.population is not None and record.population.mode == "vmap":
        raise RunError(
            f"{run.name} was trained together with others; by itself, it would round differently."
            f" Train it again: {record.command}"
        )
    if not (run.folder / layout.RECIPE).exists():
        raise RunError(f"{run.name} was interrupted before its recipe was written: train it again")


def _options(record: Record, given: Options, folder: Path) -> Options:
    kept = {key: record.options[key] for key in KEPT if key in record.options}
    if record.options.get("open_test") is False:  # from before `test` replaced it
        kept.setdefault("test", False)
    if given.test is not None:
        kept["test"] = given.test
    return replace(
        given,
        runs_dir=folder.parent,
        name=record.name,
        group=record.group,
        recipe_name=record.recipe,
        command=record.command,
        **kept,
    )


def _saved(folder: Path) -> Checkpoint | None:
    path = folder / layout.CHECKPOINT
    return checkpoint.read(path) if path.exists() else None


def _check_code(recipe: Recipe, record: Record) -> None:
    if record.code not in (None, user_code.digest(code(recipe))):
        raise RunError(
            f"the code that {record.name} was started with has changed; its folder {layout.CODE}/"
            " has it as it was. Undo that, or train the new code as a separate run"
        )


def _check_recipe(recipe: Recipe, run: Run, record: Record, saved: Checkpoint | None) -> None:
    if saved is not None:
        changed = recipes.differences(saved.run.recipe, recipes.to_tables(recipe))
        # The content of the data is compared instead.
        changed = [key for key in changed if key not in ("data.path", "data.channels")]
    else:
        changed = [] if is_run_of(recipe, run, record) else [layout.RECIPE]
    if changed:
        raise RunError(
            f"the recipe of {record.name} has changed since it was started:"
            f" {', '.join(changed[:5])}. Undo that, or train the new recipe as a separate run"
        )


def _check_versions(then: Mapping[str, str], name: str) -> None:
    now = environment.versions()
    changed = [
        f"{package} {then[package]} (now {now[package]})"
        for package in DECIDING
        if package in then and then[package] != now[package]
    ]
    if changed:
        raise RunError(
            f"{name} was started with {', '.join(changed)}, which may round differently."
            " Install the versions it was started with, or train it again"
        )


def _check_variables(record: Record) -> None:
    now = isolation.variables()
    if record.variables in (None, now):
        return
    then = record.variables
    changed = [
        f"{name}={shlex.quote(then.get(name, ''))} (now {shlex.quote(now.get(name, ''))})"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    raise RunError(
        f"{record.name} was started with {', '.join(changed)}, which may round differently. Set"
        " that in the environment, or train the run again"
    )


def _check_data(experiment: Experiment, record: Record) -> None:
    if experiment.dataset.data_id != record.data_id:
        where = "--data-path" if experiment.recipe.data.path else "--data-dir"
        raise RunError(
            f"the data set {record.data_title} found here is not the one that {record.name} was"
            f" started with (its content differs); point {where} at that one"
        )


def _check_sources(experiment: Experiment, record: Record) -> None:
    for now, then in zip(experiment.sources, record.sources, strict=True):
        if now.digest != then.digest:
            what = "weights" if then.role == "weights" else "run"
            raise RunError(
                f"the {what} {then.run} that {record.name} was started with has changed; restore"
                " a copy, or train again"
            )


def _compare_devices(record: Record, count: int, progress: Progress) -> None:
    now = environment.device(count)
    for key in ("kind", "name", "count", "threads"):
        if record.device.get(key) != now[key]:
            progress.on_note(
                f"the run was started on another machine ({key}: {record.device.get(key)}, here"
                f" {now[key]}): the last bits of its result may differ"
            )
            return


def _where(saved: Checkpoint | None) -> str:
    if saved is None:
        return "there is no checkpoint yet: the run starts from the beginning"
    if saved.training.done:
        steps = counted(saved.training.done, "step")
        return f"continuing in epoch {saved.training.epoch + 1}, after {steps}"
    return f"continuing after {counted(saved.training.epoch, 'epoch')}"
