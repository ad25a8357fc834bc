"""What a training will need of memory, before anything of it is allocated."""

import jax

from mlplab import memory
from mlplab.config import MLP, Recipe
from mlplab.data import Dataset
from mlplab.errors import RecipeError
from mlplab.models import mlp

NUMBER = 4  # bytes: weights, gradients, the optimizer's numbers and activations are float32
PROGRAM = 500_000_000  # Python, JAX, Keras and their compiled programs
VALIDATION = 1000  # images a step of validation

# Numbers that an optimizer keeps for each weight; others keep two.
SLOTS = {"SGD": 1, "RMSprop": 3, "Adagrad": 1, "Lion": 1, "Muon": 3, "Adadelta": 2, "Adafactor": 2}


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a training of an ``mlp`` that does not fit into the machine or its device.

    Args:
        recipe: complete.
        dataset: loaded.

    Raises:
        RecipeError: with the numbers, and what to change.
    """
    if not isinstance(recipe.model, MLP):
        return
    parts = needed(recipe, dataset)
    advice = (
        "Use fewer or narrower layers (model.hidden), a smaller training.batch_size or smaller"
        " images (data.image_size, model.pool)."
    )
    memory.check(parts, advice, memory.available(), RecipeError)
    device = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    memory.check(parts, advice, device, RecipeError)


def needed(recipe: Recipe, dataset: Dataset) -> dict[str, int]:
    """Return bytes by what they are for, of the largest moment of a training.

    Images lie there three times: as decoded, as split, and on the device. Weights, gradients and
    the optimizer's numbers lie there once, all but the gradients a second time as they were when
    the epoch began, and the weights once more where a callback keeps the best.
    """
    assert isinstance(recipe.model, MLP)
    images = dataset.train.images
    classes = len(dataset.class_names)
    parameters = mlp.parameter_count(recipe.model, images.shape[1:], classes)
    slots = SLOTS.get(recipe.optimizer.name, 2) + (recipe.average is not None)
    slots += sum(bool(recipe.optimizer.params.get(key)) for key in ("amsgrad", "use_ema"))
    best = any(
        settings.params.get("restore_best_weights") for settings in recipe.callbacks.values()
    )
    copies = 2 * (1 + slots) + 1 + best
    numbers = images[0].size + classes + sum(recipe.model.hidden)
    # Forward, backward, and one more for what is between two operations.
    batch = 3 * min(recipe.training.batch_size, len(images)) + 2 * min(VALIDATION, len(images))
    return {
        "the images": 3 * (images.nbytes + dataset.test.images.nbytes),
        f"{parameters:,} parameters with gradients and optimizer": NUMBER * copies * parameters,
        "activations": NUMBER * batch * numbers,
        "the program": PROGRAM,
    }
