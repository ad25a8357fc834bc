"""Runs that another run starts from: its teachers, and the network that it is written out from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import data, recipes
from mlplab.config import Recipe
from mlplab.data import Dataset, Splits
from mlplab.errors import RecipeError, nearest
from mlplab.families import Network, Pretrained, StructuredInit
from mlplab.models import saving, structured_init, transfer
from mlplab.runs import store
from mlplab.runs.record import UNFINISHED, Record, Source
from mlplab.runs.run import Run
from mlplab.runs.split import split
from mlplab.training.teacher import Teacher

Opened = tuple[keras.Model, Source]
Moments = NDArray[Any]

MOST_NAMED = 20  # runs that an error lists
UNKNOWN = (
    "whether {} has seen these validation images, or those of the test split, is not known:"
    " accuracy on both may be flattered"
)


def named(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the runs that a recipe names, as (role, name)."""
    roles = [("teacher", name) for name in recipe.teacher.runs] if recipe.teacher else []
    if isinstance(recipe.model, Network) and recipe.model.init_from is not None:
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
    """Open the networks of the runs that a recipe names, with the facts that its record is to hold.

    Args:
        recipe: complete.
        runs_dir: where the run is written, and the others are.
        dataset: that is trained on.
        splits: of it.
        trust: whether code of the user's own may be loaded.
        note: hears of what the user should know.
        data_dir: a folder that holds the data sets.

    Raises:
        RecipeError: if a run is not there, did not finish, or is for other images or classes.
        RunError: if a run is damaged.
    """
    found = []
    for role, name in named(recipe):
        key = "teacher.runs" if role == "teacher" else f"model.{role}"
        run = Run(_find(key, name, runs_dir))
        record = store.read_own_record(run.folder)
        if record.status != "finished" or "model.keras" not in record.files:
            hint = f"; go on with it: mlplab resume {name}" if record.status in UNFINISHED else ""
            raise RecipeError(
                f"{key}: {name} is {record.status} and has no network to start from{hint}"
            )
        store.check_own(run.folder, record, "model.keras", "recipe.toml")
        writes_out = isinstance(recipe.model, StructuredInit)
        if role == "teacher" or writes_out:
            _check_same_task(key, name, record, dataset)
        if role == "init_from" and writes_out:
            _check_twin(name, recipe, run.recipe)
        others = _images_of(record, run.recipe, recipe, dataset, data_dir)
        seen = _validation_seen(record, run.recipe, others, splits)
        _warn(name, record, seen, len(splits.validation), note)
        found.append((run.model(trust), _facts(role, name, record, run.recipe, seen)))
    return found


def teacher(recipe: Recipe, opened: Sequence[Opened]) -> Teacher | None:
    """Return the teacher that a recipe asks for, or ``None``."""
    if recipe.teacher is None:
        return None
    networks = [
        saving.to_fast(network, recipe.training.precision)
        for network, source in opened
        if source.role == "teacher"
    ]
    return Teacher(networks, min(recipe.teacher.views, recipe.training.epochs))


def _find(key: str, name: str, runs_dir: Path) -> Path:
    places = [runs_dir / name, store.home(runs_dir.absolute()) / name]
    if len(Path(name).parts) > 1:
        places.append(Path(name))
    for folder in places:
        if (folder / "record.json").is_file():
            return folder
    known = [folder.name for folder in store.folders(runs_dir)]
    hint = nearest(name, known, "; `mlplab runs` lists them" if len(known) > MOST_NAMED else None)
    if name in recipes.names():
        hint = f"; train it first: `mlplab train {name} --name {name}`"
    raise RecipeError(
        f"{key}: there is no run {name} in {runs_dir}; give a run's whole name, or the path of its"
        f" folder{hint}"
    )


def _check_same_task(key: str, name: str, record: Record, dataset: Dataset) -> None:
    image_shape = list(dataset.train.images.shape[1:])
    if (record.class_names, record.image_shape) != (list(dataset.class_names), image_shape):
        sizes = " and ".join(
            "×".join(map(str, shape)) for shape in (record.image_shape, image_shape)
        )
        raise RecipeError(
            f"{key}: {name} was trained for other classes or images: {len(record.class_names)}"
            f" classes ({', '.join(record.class_names[:3])}, …), here {len(dataset.class_names)}"
            f" ({', '.join(dataset.class_names[:3])}, …); images of {sizes}"
        )


def moments(opened: Sequence[Opened], channels: int) -> tuple[Moments, Moments] | None:
    """Return mean and variance that a network is to scale by: those of the one it starts from.

    What it is to compute is that network, scaling and all. ``None`` where there is none, or it
    scales in another way.
    """
    for network, source in opened:
        for layer in network.layers:
            scales = layer.name == "scaling" and isinstance(layer, keras.layers.Normalization)
            if source.role == "init_from" and scales and np.size(layer.mean) == channels:
                return np.ravel(layer.mean), np.ravel(layer.variance)
    return None


def start(
    model: keras.Model,
    recipe: Recipe,
    opened: Sequence[Opened],
    dataset: Dataset,
    note: Callable[[str], None],
) -> None:
    """Give a network the weights of the run that it starts from, and enter what was taken over.

    Args:
        model: with its initial weights.
        recipe: complete.
        opened: of :func:`open_all`.
        dataset: that is trained on.
        note: told which layers begin anew or were adapted.
    """
    found = next((pair for pair in opened if pair[1].role == "init_from"), None)
    if isinstance(recipe.model, StructuredInit):
        structured_init.write_out(model, found and found[0], recipe.model, recipe.seed)
    elif found is not None:
        network, facts = found
        taken = transfer.take_over(model, network, dataset.class_names, facts.class_names)
        if not taken.layers:
            raise RecipeError(
                f"model.init_from: no layer of {facts.run} ({facts.network}) fits into this"
                f" {recipe.model.name}; {taken.fresh[0]}"
            )
        facts.taken, facts.adapted, facts.fresh = taken
        note(f"{facts.run}: {len(taken.layers)} layers are taken over")
        for text in taken.adapted:
            note(f"{facts.run}: adapted, {text}")
        for text in taken.fresh:
            note(f"{facts.run}: begins anew, {text}")


def _check_twin(name: str, recipe: Recipe, source: Recipe) -> None:
    """Refuse to write out a network that the dense one would not compute the same as."""
    assert isinstance(recipe.model, StructuredInit)
    ours, theirs = structured_init.twin(recipe.model), source.model
    # Of training, not of what is computed.
    ignored = {"dropout": 0.0, "initialiser": "", "init_from": None}
    if theirs.name != "cnn":
        raise RecipeError(
            f"model.init_from: {name} is a network {theirs.name}; only a cnn can be written out"
        )
    mine, its = (side.model_copy(update=ignored).model_dump() for side in (ours, theirs))
    pairs = {f"model.{key}": (its[key], value) for key, value in mine.items()}
    pairs["data.scaling"] = (source.data.scaling, recipe.data.scaling)
    apart = [f"{key} is {there}, here {here}" for key, (there, here) in pairs.items()
             if there != here]  # fmt: skip
    if apart:
        raise RecipeError(
            f"model.init_from: {name} is not the cnn that this recipe describes: its"
            f" {'; '.join(apart)}"
        )


def _images_of(
    record: Record, theirs: Recipe, recipe: Recipe, dataset: Dataset, data_dir: Path | None
) -> Dataset | None:
    """Return a run's data set if its images are numbered as ours are; else ``None``."""
    if recipe.data.validation == "test":
        return None
    if record.data_id == dataset.data_id:
        return dataset
    if theirs.data.name != recipe.data.name or recipe.data.name == "folder":
        return None
    found = data.load(theirs.data, data_dir, lambda text: None)  # other classes of the same
    return found if found.data_id == record.data_id else None


def _validation_seen(
    record: Record, theirs: Recipe, others: Dataset | None, splits: Splits
) -> int | None:
    """Return how many of our validation images a run was trained on; ``None`` if nobody knows."""
    if others is None or any(source.validation_seen != 0 for source in record.sources):
        return None
    return int(np.isin(splits.validation.index, split(others, theirs).train.index).sum())


def _warn(
    name: str, record: Record, seen: int | None, validation: int, note: Callable[[str], None]
) -> None:
    if seen:
        note(
            f"{name} was trained on {seen:,} of the {validation:,} validation images: validation"
            " accuracy is flattered, and says less about the test split"
        )
    elif seen is None:
        note(UNKNOWN.format(name))
    if record.selected_on == "test":
        note(f"{name} was chosen on the test split: test accuracy here is optimistic as well")


def of_weights(
    settings: Pretrained, digest: str, parameters: int, note: Callable[[str], None]
) -> Source:
    """Return the facts of weights that are no run's: where a pretrained network begins.

    Nobody knows what those of a file have seen. ImageNet has none of the images of data sets here.
    """
    seen = 0 if settings.weights == "imagenet" else None
    if seen is None:
        note(UNKNOWN.format(f"the network of {settings.weights}"))
    return Source(
        role="weights",
        run=settings.weights,
        recipe="",
        config_id=digest[:12],
        seed=0,
        network=settings.network,
        digest=digest,
        data_id="",
        parameters=parameters,
        flops_per_example=0,
        seconds=0.0,
        accuracy={},
        selected_on="",
        validation_seen=seen,
    )


def _facts(role: str, name: str, record: Record, recipe: Recipe, seen: int | None) -> Source:
    return Source(
        role=role,
        run=name,
        recipe=record.recipe,
        config_id=record.config_id,
        seed=record.seed,
        network=recipe.model.name,
        digest=record.files["model.keras"],
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
