"""From a recipe to a trainable experiment: the data, split; the network, compiled."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import data, models
from mlplab.augment import pipeline as augment
from mlplab.augment.changes import is_slow_in_xla
from mlplab.data import Dataset, Splits
from mlplab.data.statistics import channel_statistics
from mlplab.errors import RecipeError
from mlplab.evaluation import evaluate
from mlplab.experiment import budget, data_checks, features, parents, sizes
from mlplab.experiment.complete import complete, own_optimizer
from mlplab.experiment.paths import resolved
from mlplab.experiment.split import split
from mlplab.models import calibrated, conversion
from mlplab.models.layers.inputs import scaling_layer
from mlplab.optim import optimizers, schedules
from mlplab.recipes.recipe import Recipe
from mlplab.runs.record import Source
from mlplab.training import distillation, losses, monitors, resizing
from mlplab.training.arrays import Arrays
from mlplab.training.teacher import Teacher

Note = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Experiment:
    """A recipe prepared for training.

    Attributes:
        recipe: complete.
        dataset: as loaded.
        model: with its initial weights.
        trained: what the engine trains, compiled: the model, or its head, with the same layers.
        loss: what it minimises.
        class_weights: float32 [classes], or ``None``.
        seconds: from the loaded data to the compiled network, a whitening included.
        teacher: whose predictions it learns from, or ``None``.
        sources: runs that it starts from.
        features: of the splits "train" and "validation", if only the head is trained on them.
    """

    recipe: Recipe
    dataset: Dataset
    model: keras.Model
    trained: keras.Model
    loss: keras.losses.Loss
    class_weights: NDArray[np.float32] | None
    seconds: float
    teacher: Teacher | None
    sources: list[Source]
    features: dict[str, features.Features]

    @cached_property
    def splits(self) -> Splits:
        """The data set with validation taken out of train, or being the test split."""
        return split(self.dataset, self.recipe)

    def inputs(self, split: str) -> NDArray[Any]:
        """Return the inputs from a split, images or features, [n, ...]."""
        images: NDArray[Any] = getattr(self.splits, split).images
        return self.features.get(split, images)

    def on_device(self, split: str) -> Arrays:
        """Copy a split's inputs to the device, with labels as the loss expects them."""
        return self.arrays(self.inputs(split), getattr(self.splits, split).labels)

    def arrays(self, inputs: NDArray[Any], labels: NDArray[np.int32]) -> Arrays:
        """Copy inputs to the device, with labels as the loss expects them."""
        return Arrays(jnp.asarray(inputs), jnp.asarray(self.encoded(labels)))

    def forget_splits(self) -> None:
        """Free the splits' copies of the data set; they are made again when needed."""
        vars(self).pop("splits", None)

    @property
    def is_worth_cpp(self) -> bool:
        """Whether its training is worth compiling C++ for."""
        values = self.recipe.training.epochs * self.inputs("train").size
        return conversion.is_worth_cpp(self.trained, values, is_slow_in_xla(self.recipe.augment))

    @property
    def selects_on_test(self) -> bool:
        """Whether validation is the test split itself."""
        return self.recipe.data.validation == "test"

    def encoded(self, labels: NDArray[np.int32]) -> NDArray[Any]:
        """Return labels as the loss expects them: int32 [n], or one-hot float32 [n, classes]."""
        return losses.encode(self.loss, labels, len(self.dataset.class_names))


def prepare(
    recipe: Recipe,
    data_dir: Path | None,
    trust: bool,
    note: Note,
    dataset: Dataset | None = None,
    runs_dir: Path = Path("runs"),
) -> Experiment:
    """Load the data and build the network, with all random choices determined by the seed.

    Keras's global random generators are seeded, for the user's own networks.

    Args:
        recipe: complete or not.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        trust: whether the user's own code may be loaded.
        note: called with what the user should know, such as files that cannot be read.
        dataset: the recipe's, if it is already loaded.
        runs_dir: where the runs are that the recipe names.

    Raises:
        RecipeError: if the recipe does not make a network that fits the data.
        DataError: if the data set is missing, damaged or unsuitable.
    """
    _check_backend()
    recipe = complete(recipe, trust)
    for line in monitors.contradictions(recipe.callbacks):
        note(line)
    dataset = dataset or data.load(recipe.data, data_dir, note)
    recipe = recipe.model_copy(update={"data": resolved(recipe.data, dataset)})
    budget.check(recipe, dataset)
    begun = time.perf_counter()
    splits = split(dataset, recipe)
    if text := data_checks.note_of(data_checks.repeated(dataset, splits)):
        note(text)
    _check_images(recipe, splits.train.images.shape[1:])
    for text in sizes.notes(recipe, splits):
        note(text)
    keras.utils.set_random_seed(recipe.seed)
    opened = parents.open_all(recipe, runs_dir, dataset, splits, trust, note, data_dir)
    model, sources = _network(recipe, opened, dataset, splits, trust, note)
    if recipe.evaluation.calibrate:
        calibrated.check(model)
    known = features.for_splits(recipe, model, splits, note)
    trained = features.head(model) if known else model
    loss = losses.build(recipe.loss, recipe.augment.mixes, recipe.teacher)
    _compile(trained, model, loss, recipe, len(splits.train), trust)
    experiment = Experiment(
        recipe=recipe,
        dataset=dataset,
        model=model,
        trained=trained,
        loss=loss,
        class_weights=_class_weights(recipe, splits.train.labels, len(dataset.class_names)),
        seconds=time.perf_counter() - begun,
        teacher=parents.teacher(recipe, opened),
        sources=sources,
        features=known,
    )
    vars(experiment)["splits"] = splits  # which would otherwise be computed again
    return experiment


def _check_backend() -> None:
    if keras.backend.backend() != "jax":
        raise RecipeError(
            f"Keras was loaded with the backend {keras.backend.backend()}, but mlplab needs jax:"
            " restart the program or the kernel, and import mlplab before keras"
        )


def _check_images(recipe: Recipe, image_shape: tuple[int, ...]) -> None:
    """Refuse settings for which images of this shape are too small."""
    augment.check(recipe.augment, image_shape)
    resizing.check(recipe, image_shape)
    evaluate.check(recipe.evaluation, image_shape)


def _network(
    recipe: Recipe,
    opened: list[parents.Opened],
    dataset: Dataset,
    splits: Splits,
    trust: bool,
    note: Note,
) -> tuple[keras.Model, list[Source]]:
    """Return the network with the weights that it starts from, and where these are from."""
    images = splits.train.images
    statistics: tuple[Any, Any] = (None, None)
    if recipe.data.scaling == "standard":
        theirs = parents.scaling_statistics(opened, images.shape[-1])
        statistics = theirs or channel_statistics(images)
    task = models.Task(
        images.shape[1:],
        len(dataset.class_names),
        scaling_layer(recipe.data.scaling, *statistics),
        recipe.seed,
        recipe.training.precision,
        dataset.values,
    )
    model = models.build(recipe.model, task, trust)
    models.fit(model, recipe.model, images)
    sources = [source for _, source in opened]
    loaded = models.load(model, recipe.model, task)
    if loaded is not None:
        sources.append(parents.of_weights(loaded, model.count_params(), note))
    parents.initialise_from(model, recipe, opened, dataset, note)
    return model, sources


def _compile(
    trained: keras.Model,
    model: keras.Model,
    loss: keras.losses.Loss,
    recipe: Recipe,
    images: int,
    trust: bool,
) -> None:
    """Compile what is trained (the model or its head) with optimizer, loss and metrics."""
    accuracy = "accuracy" if recipe.teacher is None else distillation.accuracy()
    if recipe.optimizer.is_custom:
        own = own_optimizer(recipe, trust, fresh=False)
        trained.compile(optimizer=own, loss=loss, metrics=[accuracy])
        return
    rate = None
    if recipe.schedule is not None:
        peak = recipe.optimizer.params["learning_rate"]
        steps = math.ceil(images / recipe.training.batch_size)
        rate = schedules.build(recipe.schedule, peak, steps, recipe.training.epochs)
    optimizer = optimizers.build(
        recipe.optimizer,
        model,
        rate,
        precision=recipe.training.precision,
        average=recipe.average,
    )
    trained.compile(optimizer=optimizer, loss=loss, metrics=[accuracy])


def _class_weights(
    recipe: Recipe, labels: NDArray[np.int32], classes: int
) -> NDArray[np.float32] | None:
    wanted = recipe.loss.class_weights
    if wanted is None:
        return None
    if wanted == "balanced":
        return data.class_weights(labels, classes)
    if len(wanted) != classes:
        raise RecipeError(
            f"loss.class_weights has {len(wanted)} weights, but the data set {classes} classes"
        )
    return np.asarray(wanted, np.float32)
