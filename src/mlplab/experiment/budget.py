"""How much memory and disk space a training will need, estimated before anything is allocated."""

import math
import shutil
from pathlib import Path

import jax
import keras

from mlplab import memory, models
from mlplab.data import Dataset
from mlplab.errors import RecipeError, StorageError
from mlplab.experiment import features
from mlplab.models.footprint import evaluation_batch
from mlplab.models.layers.convolution import LAID
from mlplab.models.parts import FEATURES
from mlplab.optim import optimizers
from mlplab.recipes.networks import CustomModel, Network
from mlplab.recipes.recipe import Recipe
from mlplab.text import byte_size

NUMBER = 4  # bytes: weights, gradients, the optimizer's numbers and activations are float32
PROGRAM = 500_000_000  # Python, JAX, Keras and their compiled programs
FILES = 2**25  # bytes of events, figures and the report

LARGEST = 2**31
"""Parameters."""


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a training that does not fit into the machine or its device, if it can be estimated.

    Args:
        recipe: complete.
        dataset: loaded.

    Raises:
        RecipeError: with the numbers, and what to change.
    """
    if isinstance(recipe.model, CustomModel):
        return
    parts = needed(recipe, dataset)
    advice = (
        "Use fewer or narrower layers (model.hidden), a smaller training.batch_size or smaller"
        " images (data.image_size, model.pool)."
    )
    memory.check(parts, advice, memory.available(), RecipeError)
    device = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    memory.check(parts, advice, device, RecipeError)


def check_disk(
    parameters: int, probabilities: int, runs_dir: Path, checkpoints: bool = True
) -> None:
    """Refuse to train if there is too little space for the results.

    These are network and predictions, checkpoints (two at a time), events and figures.

    Args:
        parameters: of the network.
        probabilities: numbers in the predictions on all splits.
        runs_dir: where the run folder is.
        checkpoints: whether any are written.

    Raises:
        StorageError: with the numbers.
    """
    numbers = 2 * parameters + probabilities
    if checkpoints:
        # Weights, two numbers of the optimizer for each, and the best weights of a callback.
        numbers += 2 * 4 * parameters
    size = NUMBER * numbers + FILES
    free = shutil.disk_usage(runs_dir).free
    if free < size:
        raise StorageError(
            f"the run needs about {byte_size(size)} in {runs_dir}, where {byte_size(free)} are"
            " free; free some space or choose another --runs-dir"
        )


def needed(recipe: Recipe, dataset: Dataset) -> dict[str, int]:
    """Return bytes by purpose, at the peak of a training.

    Images are in memory three times: as decoded, as split, and on the device. Weights, gradients
    and the optimizer's numbers are there once, all except the gradients a second time as they were
    at the start of the epoch, and the weights once more if a callback keeps the best.
    """
    assert not isinstance(recipe.model, CustomModel)
    images = dataset.train.images
    classes = len(dataset.class_names)
    network, slots = _outlined(recipe, recipe.model, images.shape[1:], classes)
    parameters = network.count_params()
    if parameters > LARGEST:
        raise RecipeError(
            f"[model] has {parameters:,} parameters; up to {LARGEST:,} are possible."
            " Use fewer or narrower layers."
        )
    best = any(
        settings.params.get("restore_best_weights") for settings in recipe.callbacks.values()
    )
    state = 2 * (parameters + slots) + (1 + best) * parameters
    most = recipe.model.most_layers
    if len(network.layers) > most:
        raise RecipeError(
            f"[model] has {len(network.layers)} layers; networks of up to {most} can be loaded"
            " again. Use fewer."
        )
    between = models.between_layers(recipe.model, network)
    made = [images[0].size, between, *map(_activations, network.layers)]
    batch = min(recipe.training.batch_size, len(images))
    seen = min(evaluation_batch(network), len(images))  # at a time, in an evaluation
    evaluated, fixed = 3 * seen * max(made), 0
    if features.is_head_only(
        recipe
    ):  # only forward, some images at a time, and then their features
        width = network.get_layer(FEATURES).output.shape[1]
        numbers, fixed = evaluated, 2 * len(images) * width
    else:
        # Forward, backward, and one between two operations; validation does not keep them.
        numbers = 3 * batch * sum(made) + evaluated
    return {
        "the images": 3 * (images.nbytes + dataset.test.images.nbytes),
        f"{parameters:,} parameters with gradients and optimizer": NUMBER * state,
        "activations": NUMBER * numbers + 2 * LAID,
        "features": NUMBER * fixed,
        # Each view separately, and then all together.
        "the teachers' predictions": 2 * NUMBER * _views(recipe) * len(images) * classes,
        "the program": PROGRAM,
    }


def _views(recipe: Recipe) -> int:
    return 0 if recipe.teacher is None else min(recipe.teacher.views, recipe.training.epochs)


def _activations(layer: keras.layers.Layer) -> int:
    """Return how many values of a layer the backward pass needs for an image."""
    kinds = (
        keras.layers.Dense,
        keras.layers.EinsumDense,
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
    )
    return math.prod(layer.output.shape[1:]) if isinstance(layer, kinds) else 0


def _outlined(
    recipe: Recipe, settings: Network, shape: tuple[int, ...], classes: int
) -> tuple[keras.Model, int]:
    """Return the network without its weights, and the count of numbers its optimizer keeps."""
    slots: list[int] = []

    def count(network: keras.Model) -> None:
        if recipe.optimizer.is_custom:  # most keep no more than Adam does
            slots.append(2 * network.count_params())
            return
        optimizer = optimizers.build(recipe.optimizer, network, average=recipe.average)
        optimizer.build(network.trainable_variables)
        slots.append(sum(math.prod(variable.shape) for variable in optimizer.variables))

    height, width, channels = shape
    network = models.outline(settings, (height, width, channels), classes, count)
    return network, slots[0]
