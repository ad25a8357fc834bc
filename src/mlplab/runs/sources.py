"""Runs that another run starts from: its teachers, and the network that it is written out from."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from mlplab import files
from mlplab.config import Recipe
from mlplab.data import Dataset, Splits
from mlplab.errors import RecipeError, RunError
from mlplab.families import StructuredInit
from mlplab.models import saving
from mlplab.runs import store
from mlplab.runs.record import Record, Source
from mlplab.runs.run import Run
from mlplab.runs.split import split
from mlplab.training.teacher import Teacher

Opened = tuple[keras.Model, Source]


def named(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the runs that a recipe names, as (role, name)."""
    roles = [("teacher", name) for name in recipe.teacher.runs] if recipe.teacher else []
    if isinstance(recipe.model, StructuredInit) and recipe.model.init_from is not None:
        roles.append(("init_from", recipe.model.init_from))
    return roles


def open_all(
    recipe: Recipe,
    runs_dir: Path,
    dataset: Dataset,
    splits: Splits,
    trust: bool,
    note: Callable[[str], None],
) -> list[Opened]:
    """Open the networks of the runs that a recipe names, with the facts that its record is to hold.

    Args:
        recipe: complete.
        runs_dir: where the run is written; they may also lie where its study does.
        dataset: that is trained on.
        splits: of it.
        trust: whether code of the user's own may be loaded.
        note: hears of what the user should know.

    Raises:
        RecipeError: if a run is not there, did not finish, or is for other images or classes.
        RunError: if a run is damaged.
    """
    return [
        _open(role, name, runs_dir, dataset, splits, trust, note) for role, name in named(recipe)
    ]


def teacher(recipe: Recipe, opened: list[Opened]) -> Teacher | None:
    """Return the teacher that a recipe asks for, or ``None``."""
    if recipe.teacher is None:
        return None
    networks = [
        saving.to_fast(network, recipe.training.precision)
        for network, source in opened
        if source.role == "teacher"
    ]
    return Teacher(networks, recipe.teacher.views)


def _open(
    role: str,
    name: str,
    runs_dir: Path,
    dataset: Dataset,
    splits: Splits,
    trust: bool,
    note: Callable[[str], None],
) -> Opened:
    key = "teacher.runs" if role == "teacher" else f"model.{role}"
    run = Run(_find(key, name, runs_dir))
    record = store.read_own_record(run.folder)
    if record.status != "finished" or "model.keras" not in record.files:
        raise RecipeError(f"{key}: {name} is {record.status} and has no network to start from")
    if (record.class_names, record.image_shape) != (
        list(dataset.class_names),
        list(dataset.train.images.shape[1:]),
    ):
        raise RecipeError(f"{key}: {name} was trained for other classes or images of another size")
    digest = files.digest(run.folder / "model.keras")
    if digest != record.files["model.keras"]:
        raise RunError(f"{name}: model.keras is not the one that was recorded; train it anew")
    recipe = run.recipe
    seen = 0
    if record.data_id == dataset.data_id:
        trained_on = split(dataset, recipe).train.index
        seen = int(np.isin(splits.validation.index, trained_on).sum())
    if seen:
        note(
            f"{name} was trained on {seen:,} of the {len(splits.validation):,} validation images:"
            " validation accuracy is flattered, and says less about the test split"
        )
    return run.model(trust), _facts(role, record, recipe, digest or "", seen)


def _find(key: str, name: str, runs_dir: Path) -> Path:
    for folder in (runs_dir / name, store.home(runs_dir.absolute()) / name):
        if (folder / "record.json").is_file():
            return folder
    raise RecipeError(
        f"{key}: there is no run {name} in {runs_dir}; give a run's whole name, or the path of its"
        " folder"
    )


def _facts(role: str, record: Record, recipe: Recipe, digest: str, seen: int) -> Source:
    return Source(
        role=role,
        run=record.name,
        recipe=record.recipe,
        config_id=record.config_id,
        seed=record.seed,
        network=recipe.model.name,
        digest=digest,
        data_id=record.data_id,
        parameters=record.parameters,
        flops_per_example=record.flops_per_example,
        seconds=record.seconds.train,
        accuracy={name: found["accuracy"] for name, found in record.metrics.items()},
        selected_on=record.selected_on,
        validation_seen=seen,
        sources=record.sources,
    )
