"""From a recipe to what can be trained: the data, split; the network, compiled."""

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
from mlplab.config import Recipe
from mlplab.data import Dataset, Splits
from mlplab.data.statistics import channel_statistics
from mlplab.errors import RecipeError
from mlplab.families import AirNet, CustomModel, FlatNetwork, Pretrained
from mlplab.models import pretrained, whitening
from mlplab.models.inputs import scaling_layer
from mlplab.optim import optimizers, schedules
from mlplab.runs import budget, features, sources
from mlplab.runs.record import Source
from mlplab.runs.split import split
from mlplab.training import augment, callbacks, distillation, evaluate, losses, resizing
from mlplab.training.steps import Arrays
from mlplab.training.teacher import Teacher


def complete(recipe: Recipe, trust: bool = False) -> Recipe:
    """Return the recipe with Keras's names and defaults written out.

    Args:
        recipe: as given.
        trust: whether code of the user's own may be loaded.

    Raises:
        RecipeError: if a network, optimizer, schedule, loss or callback does not exist or fit.
    """
    optimizer = optimizers.complete(recipe.optimizer)
    optimizers.check_average(recipe.average, optimizer)
    schedule = recipe.schedule
    if schedule is not None:
        schedule = schedules.complete(schedule, optimizer.params["learning_rate"])
    listening = {
        key: callbacks.complete(key, named, trust) for key, named in recipe.callbacks.items()
    }
    losses.build(recipe.loss, recipe.augment.mixes, recipe.teacher)
    if recipe.teacher is not None and recipe.teacher.views and recipe.augment.mixes:
        raise RecipeError(
            "teacher.views: images that are mixed with those of their batch cannot be answered"
            " beforehand; set teacher.views to 0, or augment.mixup and augment.cutmix"
        )
    if isinstance(recipe.model, CustomModel) and recipe.training.precision != "float32":
        raise RecipeError(
            f"training.precision = '{recipe.training.precision}' is for mlplab's own networks; one"
            " of your own decides itself: leave it at 'float32' here"
        )
    completed = recipe.model_copy(
        update={
            "model": models.complete(recipe.model, trust),
            "optimizer": optimizer,
            "schedule": schedule,
            "loss": losses.complete(recipe.loss),
            "callbacks": listening,
        }
    )
    callbacks.check_together(completed)
    return completed


@dataclass(frozen=True, eq=False)
class Experiment:
    """A recipe made ready.

    Attributes:
        recipe: complete.
        dataset: as loaded.
        model: with its initial weights.
        trained: what the engine trains, compiled: the model, or its head, of the same layers.
        loss: what it minimises.
        class_weights: float32 [classes], or ``None``.
        seconds: from the loaded data to the compiled network, a whitening included.
        teacher: whose answers are learnt from, or ``None``.
        sources: runs that it starts from.
        features: of the splits "train" and "validation", where the head alone is trained on them.
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
        """Return what it is given of a split, images or features, [n, ...]."""
        images: NDArray[Any] = getattr(self.splits, split).images
        return self.features.get(split, images)

    def on_device(self, split: str) -> Arrays:
        """Copy to the device what is trained on, its labels as the loss wants them."""
        return self.arrays(self.inputs(split), getattr(self.splits, split).labels)

    def arrays(self, inputs: NDArray[Any], labels: NDArray[np.int32]) -> Arrays:
        """Copy inputs to the device, their labels as the loss wants them."""
        return Arrays(jnp.asarray(inputs), jnp.asarray(self.encoded(labels)))

    def forget_splits(self) -> None:
        """Free what the splits copied of the data set; they are made again when asked for."""
        vars(self).pop("splits", None)

    @property
    def selects_on_test(self) -> bool:
        """Whether validation is the test split itself."""
        return self.recipe.data.validation == "test"

    def encoded(self, labels: NDArray[np.int32]) -> NDArray[Any]:
        """Return labels as the loss wants them: int32 [n], or one-hot float32 [n, classes]."""
        return losses.encode(self.loss, labels, len(self.dataset.class_names))


def prepare(
    recipe: Recipe,
    data_dir: Path | None,
    trust: bool,
    warn: Callable[[str], None],
    dataset: Dataset | None = None,
    runs_dir: Path = Path("runs"),
) -> Experiment:
    """Load the data and make the network, every random choice decided by the recipe's seed.

    Keras's global random generators are seeded, for networks of the user's own; Keras prints no
    progress from here on.

    Args:
        recipe: complete or not.
        data_dir: a folder that holds the data set's.
        trust: whether code of the user's own may be loaded.
        warn: hears of files that cannot be read.
        dataset: the recipe's, where it was loaded before.
        runs_dir: where the runs are that the recipe names.

    Raises:
        RecipeError: if the recipe does not make a network that fits the data.
        DataError: if the data set is missing, damaged or unsuitable.
    """
    if keras.backend.backend() != "jax":
        raise RecipeError(
            f"Keras was loaded with the backend {keras.backend.backend()}; mlplab trains on jax:"
            " set KERAS_BACKEND=jax, or import mlplab before keras"
        )
    keras.config.disable_interactive_logging()  # Keras would print among our results
    recipe = complete(recipe, trust)
    dataset = dataset or data.load(recipe.data, data_dir, warn)
    budget.check(recipe, dataset)
    begun = time.perf_counter()
    splits = split(dataset, recipe)
    keras.utils.set_random_seed(recipe.seed)
    train, classes = splits.train, len(dataset.class_names)
    augment.check(recipe.augment, train.images.shape[1:])
    resizing.check(recipe, train.images.shape[1:])
    evaluate.check(recipe.evaluation, train.images.shape[1:])
    standard = recipe.data.scaling == "standard"
    opened = sources.open_all(recipe, runs_dir, dataset, splits, trust, warn, data_dir)
    moments: tuple[Any, Any] = (None, None)
    if standard:
        theirs = sources.moments(opened, train.images.shape[-1])
        moments = theirs or channel_statistics(train.images)
    task = models.Task(
        train.images.shape[1:],
        classes,
        scaling_layer(recipe.data.scaling, *moments),
        recipe.seed,
        recipe.training.precision,
    )
    model = models.build(recipe.model, task, trust)
    if isinstance(recipe.model, FlatNetwork) and recipe.model.whitening is not None:
        whitening.fit(model, train.images, recipe.model)
    if isinstance(recipe.model, AirNet):
        whitening.fit_patches(model, train.images, recipe.model.whitening_epsilon)
    began = [source for _, source in opened]
    if isinstance(recipe.model, Pretrained):
        digest = pretrained.load(model, recipe.model, task)
        if digest is not None:
            began.append(sources.of_weights(recipe.model, digest, model.count_params(), warn))
    sources.start(model, recipe, opened, dataset, warn)
    known = features.known(recipe, model, splits, warn)
    loss = losses.build(recipe.loss, recipe.augment.mixes, recipe.teacher)
    rate = None
    if recipe.schedule is not None:
        peak = recipe.optimizer.params["learning_rate"]
        steps = math.ceil(len(train) / recipe.training.batch_size)
        rate = schedules.build(recipe.schedule, peak, steps, recipe.training.epochs)
    optimizer = optimizers.build(
        recipe.optimizer,
        model,
        rate,
        precision=recipe.training.precision,
        average=recipe.average,
    )
    accuracy = "accuracy" if recipe.teacher is None else distillation.accuracy()
    trained = features.head(model) if known else model
    trained.compile(optimizer=optimizer, loss=loss, metrics=[accuracy])
    weights = _class_weights(recipe, train.labels, classes)
    seconds = time.perf_counter() - begun
    experiment = Experiment(
        recipe,
        dataset,
        model,
        trained,
        loss,
        weights,
        seconds,
        sources.teacher(recipe, opened),
        began,
        known,
    )
    vars(experiment)["splits"] = splits  # what would be computed anew
    return experiment


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
            f"loss.class_weights has {len(wanted)} weights, the data set {classes} classes"
        )
    return np.asarray(wanted, np.float32)
