"""A run taken up again where it was interrupted, to the result that it would have had."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlplab import recipes
from mlplab.config import Recipe
from mlplab.errors import RunError
from mlplab.report import words
from mlplab.runs import environment, lock, store
from mlplab.runs.execute import carry_out
from mlplab.runs.facts import KEPT, Options
from mlplab.runs.job import Job
from mlplab.runs.prepare import Experiment, complete, prepare
from mlplab.runs.record import ENDED, UNFINISHED, Record
from mlplab.runs.run import Run
from mlplab.training import checkpoint, devices
from mlplab.training.compilation import keep_compiled
from mlplab.training.engine import Silent, Watcher

# Other versions of these round otherwise, or draw other random numbers.
DECIDING = ("mlplab", "keras", "jax", "jaxlib", "numpy")


def resume(run: Run, options: Options, watcher: Watcher | None = None) -> Run:
    """Go on with an interrupted run, from its last checkpoint or from its begin.

    Weights, metrics and predictions will be, to the bit, those of a run that nothing interrupted.

    Args:
        run: that was interrupted, killed, or failed.
        options: ``data_dir`` and ``trust``; all else is as it was when the run was begun.
        watcher: hears of progress.

    Raises:
        RunError: if the run has ended or is being written, if it was part of a population that
            rounds otherwise, or if its recipe or the versions of what computes have changed.
        DataError: if the data set is another one, or missing.
        StorageError: if the disk is full or the folder cannot be written.
    """
    begun = time.perf_counter()
    watcher = watcher or Silent()
    with lock.writing(run.folder):
        record = store.read_own_record(run.folder)
        _check_unfinished(run, record)
        options = _options(record, options, run.folder)
        saved = _saved(run.folder)
        recipe = complete(run.recipe, options.trust)
        _check_recipe(recipe, record, saved)
        _check_versions(saved["run"]["versions"] if saved else record.versions, run.name)
        shared = devices.choose(options.devices)
        keep_compiled(watcher.on_note)
        experiment = prepare(
            recipe, options.data_dir, options.trust, watcher.on_note, runs_dir=options.runs_dir
        )
        _check_data(experiment, record)
        _check_sources(experiment, record)
        _compare_devices(record, len(shared), watcher)
        job = Job(experiment, options, watcher, run.folder, begun, record=record)
        job.go_back(saved)
        watcher.on_note(_where(saved))
        carry_out(job, shared)
    return run


def unfinished(recipe: Recipe, options: Options) -> Run | None:
    """Return the latest run of a recipe and seed that could be resumed, or ``None``.

    Args:
        recipe: to be trained.
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
        same = (record.config_id, record.seed) == (
            recipes.config_id(wanted, record.source_ids),
            wanted.seed,
        )
        if same and record.status in UNFINISHED and record.population is None:
            found.append((record.started, folder))
    return Run(max(found)[1]) if found else None


def _check_unfinished(run: Run, record: Record) -> None:
    if record.status in ENDED:
        raise RunError(
            f"{run.name} has {record.status}: there is nothing to go on with. To train it anew:"
            f" {record.command or 'mlplab train'}"
        )
    if record.population is not None and record.population.mode == "vmap":
        raise RunError(
            f"{run.name} was trained together with others, whose rounding it would not have alone:"
            f" train it anew: {record.command}"
        )
    if not (run.folder / "recipe.toml").exists():
        raise RunError(f"{run.name} was interrupted before its recipe was written: train it anew")


def _options(record: Record, given: Options, folder: Path) -> Options:
    kept = {key: record.options[key] for key in KEPT if key in record.options}
    return replace(
        given,
        runs_dir=folder.parent,
        name=record.name,
        group=record.group,
        recipe_name=record.recipe,
        command=record.command,
        **kept,
    )


def _saved(folder: Path) -> dict[str, Any] | None:
    path = folder / "checkpoint" / store.CHECKPOINT
    return checkpoint.read_training(path) if path.exists() else None


def _check_recipe(recipe: Recipe, record: Record, saved: Mapping[str, Any] | None) -> None:
    tables = recipes.to_tables(recipe)
    if saved is not None:
        changed = recipes.differences(saved["run"]["recipe"], tables)
    elif (recipes.config_id(recipe, record.source_ids), recipe.seed) != (
        record.config_id,
        record.seed,
    ):
        changed = ["recipe.toml"]
    else:
        changed = []
    if changed:
        raise RunError(
            f"the recipe of {record.name} has changed since it was begun: {', '.join(changed[:5])}."
            " Undo that, or train the new recipe as a run of its own"
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
            f"{name} was begun with {', '.join(changed)}, which would round otherwise. Install"
            " what it was begun with, or train it anew"
        )


def _check_data(experiment: Experiment, record: Record) -> None:
    if experiment.dataset.data_id != record.data_id:
        raise RunError(
            f"the data set {record.data} found here is not the one that {record.name} was begun"
            " with (another content); point --data-dir at that one"
        )


def _check_sources(experiment: Experiment, record: Record) -> None:
    for now, then in zip(experiment.sources, record.sources, strict=True):
        if now.digest != then.digest:
            what = "weights" if then.role == "weights" else "run"
            raise RunError(
                f"the {what} {then.run} that {record.name} was begun with are others now; put those"
                " back, or train anew"
            )


def _compare_devices(record: Record, count: int, watcher: Watcher) -> None:
    now = environment.device(count)
    for key in ("kind", "name", "count", "threads"):
        if record.device.get(key) != now[key]:
            watcher.on_note(
                f"the run was begun on another machine ({key}: {record.device.get(key)}, here"
                f" {now[key]}): its last bits may differ from those that it would have had"
            )
            return


def _where(saved: Mapping[str, Any] | None) -> str:
    if saved is None:
        return "there is no checkpoint yet: the run starts from its begin"
    training = saved["training"]
    within = f" and {training['done']} steps" if training["done"] else ""
    epochs = words.counted(training["epoch"], "epoch")
    return f"going on after {epochs}{within}"
