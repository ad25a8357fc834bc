"""Runs that another run starts from: its teachers, and the run that gives it initial weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import data, files, models, recipes
from mlplab.data import Dataset, Splits
from mlplab.errors import RecipeError, nearest
from mlplab.experiment.networks import load_network
from mlplab.experiment.split import split
from mlplab.models import conversion, transfer
from mlplab.models.parts import LoadedWeights
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, ledger, store
from mlplab.runs.record import UNFINISHED, Record, Source
from mlplab.runs.run import Run
from mlplab.training.teacher import Teacher

Opened = tuple[keras.Model, Source]

MOST_NAMED = 20  # runs that an error lists
UNKNOWN = (
    "it is not known whether {} has seen these validation images, or those of the test split:"
    " accuracy on both may be optimistic"
)


def named(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the runs that a recipe names, as (role, name)."""
    roles = [("teacher", name) for name in recipe.teacher.runs] if recipe.teacher else []
    if recipe.model.init_from is not None:
        roles.append(("init_from", recipe.model.init_from))
    return roles


def open_all(
    recipe: Recipe,
    runs_dir: Path,
    dataset: Dataset,
    splits: Splits,
    trust: bool,
    note: Callable[[str], None],
    data_dir: Path | None = None,
) -> list[Opened]:
    """Open the networks of the runs that a recipe names, with the entries for the record.

    Args:
        recipe: complete.
        runs_dir: where the run is written, and where the others are.
        dataset: the training data.
        splits: of the data set.
        trust: whether the user's own code may be loaded.
        note: called with what the user should know.
        data_dir: folder containing the data sets.

    Raises:
        RecipeError: if a run is missing, did not finish, or is for other images or classes.
        RunError: if a run is damaged.
    """
    found = []
    for role, name in named(recipe):
        key = "teacher.runs" if role == "teacher" else f"model.{role}"
        run = Run(_find(key, name, runs_dir))
        record = store.read_own_record(run.folder)
        if record.status != "finished" or layout.MODEL not in record.files:
            hint = f"; `mlplab resume {name}` continues it" if record.status in UNFINISHED else ""
            raise RecipeError(
                f"{key}: {name} is {record.status} and has no network to start from{hint}"
            )
        store.check_own(run.folder, record, layout.MODEL, layout.RECIPE)
        if role == "teacher" or recipe.model.same_task:
            _check_same_task(key, name, record, dataset)
        if role == "init_from":
            _check_parent(name, recipe, run.recipe)
        others = _images_of(record, run.recipe, recipe, dataset, data_dir)
        seen = _validation_seen(record, run.recipe, others, splits)
        _warn(name, record, seen, len(splits.validation), note)
        found.append((load_network(run, trust), _source(role, name, record, run.recipe, seen)))
    return found


def teacher(recipe: Recipe, opened: Sequence[Opened]) -> Teacher | None:
    """Return the teacher that a recipe names, or ``None``."""
    if recipe.teacher is None:
        return None
    networks = [
        conversion.to_fast(network, recipe.training.precision)
        for network, source in opened
        if source.role == "teacher"
    ]
    return Teacher(networks, min(recipe.teacher.views, recipe.training.epochs))


def _find(key: str, name: str, runs_dir: Path) -> Path:
    places = [runs_dir / name, ledger.ledger_dir(runs_dir.absolute()) / name]
    if len(Path(name).parts) > 1:
        places.append(files.expanded(name))
    for folder in places:
        if (folder / layout.RECORD).is_file():
            return folder
    known = [folder.name for folder in store.folders(runs_dir)]
    hint = nearest(name, known, "; `mlplab runs` lists them" if len(known) > MOST_NAMED else None)
    if name in recipes.names():
        hint = f"; train it first: `mlplab train {name} --name {name}`"
    raise RecipeError(
        f"{key}: there is no run {name} in {runs_dir}; give a run's full name, or the path of its"
        f" folder{hint}"
    )


def _check_same_task(key: str, name: str, record: Record, dataset: Dataset) -> None:
    image_shape = list(dataset.train.images.shape[1:])
    if (record.class_names, record.image_shape) != (list(dataset.class_names), image_shape):
        sizes = " and ".join(
            "×".join(map(str, shape)) for shape in (record.image_shape, image_shape)
        )
        hint = ""
        if dataset.name == "folder" and record.image_shape[:2] == image_shape[:2]:
            hint = f"; try data.channels={record.image_shape[2]}"
        raise RecipeError(
            f"{key}: {name} was trained for other classes or images: {len(record.class_names)}"
            f" classes ({', '.join(record.class_names[:3])}, …), here {len(dataset.class_names)}"
            f" ({', '.join(dataset.class_names[:3])}, …); images of {sizes}{hint}"
        )


def scaling_statistics(
    opened: Sequence[Opened], channels: int
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the mean and variance for a network's scaling: those of the one it starts from.

    It has to compute that network's function, including the scaling. ``None`` if there is no such
    network, or it scales differently.
    """
    for network, source in opened:
        for layer in network.layers:
            scales = layer.name == "scaling" and isinstance(layer, keras.layers.Normalization)
            if source.role == "init_from" and scales and np.size(layer.mean) == channels:
                return np.ravel(layer.mean), np.ravel(layer.variance)
    return None


def initialise_from(
    model: keras.Model,
    recipe: Recipe,
    opened: Sequence[Opened],
    dataset: Dataset,
    note: Callable[[str], None],
) -> None:
    """Copy the weights of the run that a network starts from, and record what was copied.

    Args:
        model: with its initial weights.
        recipe: complete.
        opened: from :func:`open_all`.
        dataset: the training data.
        note: called with the layers that are new or were adapted.
    """
    found = next((pair for pair in opened if pair[1].role == "init_from"), None)
    if models.initialise(model, recipe.model, found and found[0], recipe.seed) or found is None:
        return
    network, source = found
    taken = transfer.take_over(model, network, dataset.class_names, source.class_names)
    if not taken.layers:
        raise RecipeError(
            f"model.init_from: no layer of {source.run} ({source.network}) fits into this"
            f" {recipe.model.name}; {taken.fresh[0]}"
        )
    source.taken, source.adapted, source.fresh = taken
    note(f"{source.run}: copied the weights of {len(taken.layers)} layers")
    for text in taken.adapted:
        note(f"{source.run}: adapted, {text}")
    for text in taken.fresh:
        note(f"{source.run}: not copied, {text}")


def _check_parent(name: str, recipe: Recipe, theirs: Recipe) -> None:
    """Refuse a run that the recipe's network cannot start from."""
    models.check_parent(recipe.model, name, theirs.model)
    if recipe.model.same_task and recipe.data.scaling != theirs.data.scaling:
        raise RecipeError(
            f"model.init_from: {name} scales its images differently: data.scaling is"
            f" {theirs.data.scaling}, here {recipe.data.scaling}"
        )


def _images_of(
    record: Record, theirs: Recipe, recipe: Recipe, dataset: Dataset, data_dir: Path | None
) -> Dataset | None:
    """Return a run's data set if its images are numbered like ours; else ``None``."""
    if recipe.data.validation == "test":
        return None
    if record.data_ids & {dataset.data_id, dataset.source_id}:  # at any image size
        return dataset
    if theirs.data.name != recipe.data.name or recipe.data.name == "folder":
        return None
    found = data.load(theirs.data, data_dir, lambda text: None)  # other classes of the same
    return found if found.data_id == record.data_id else None


def _validation_seen(
    record: Record, theirs: Recipe, others: Dataset | None, splits: Splits
) -> int | None:
    """Return how many of our validation images a run was trained on; ``None`` if not known."""
    if others is None or any(source.validation_seen != 0 for source in record.sources):
        return None
    return int(np.isin(splits.validation.index, split(others, theirs).train.index).sum())


def _warn(
    name: str, record: Record, seen: int | None, validation: int, note: Callable[[str], None]
) -> None:
    if seen:
        note(
            f"{name} was trained on {seen:,} of the {validation:,} validation images: validation"
            " accuracy is optimistic, and says less about test accuracy"
        )
    elif seen is None:
        note(UNKNOWN.format(name))
    if record.selected_on == "test":
        note(f"{name} was chosen on the test split, so test accuracy here is optimistic as well")


def of_weights(loaded: LoadedWeights, parameters: int, note: Callable[[str], None]) -> Source:
    """Return a record's entry for weights that are not from a run."""
    if not loaded.data_known:
        note(UNKNOWN.format(f"the network of {loaded.name}"))
    return Source(
        role="weights",
        run=loaded.name,
        recipe="",
        config_id=loaded.digest[:12],
        seed=0,
        network=loaded.network,
        digest=loaded.digest,
        data_id="",
        parameters=parameters,
        flops_per_example=0,
        seconds=0.0,
        accuracy={},
        selected_on="",
        validation_seen=0 if loaded.data_known else None,
    )


def _source(role: str, name: str, record: Record, recipe: Recipe, seen: int | None) -> Source:
    return Source(
        role=role,
        run=name,
        recipe=record.recipe,
        config_id=record.config_id,
        seed=record.seed,
        network=recipe.model.name,
        digest=record.files[layout.MODEL],
        data_id=record.data_id,
        parameters=record.parameters,
        flops_per_example=record.flops_per_example,
        seconds=record.seconds.train,
        class_names=record.class_names,
        accuracy={split: found["accuracy"] for split, found in record.metrics.items()},
        selected_on=record.selected_on,
        validation_seen=seen,
        sources=record.sources,
    )
