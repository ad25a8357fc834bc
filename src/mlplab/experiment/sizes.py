"""What is said of sizes that do not suit each other: batches and splits, images and networks."""

from collections.abc import Iterator

from mlplab.data import Splits
from mlplab.recipes.networks.pretrained import Pretrained
from mlplab.recipes.recipe import Recipe
from mlplab.text import counted


def notes(recipe: Recipe, splits: Splits) -> Iterator[str]:
    """Yield what the user should know before the training starts."""
    batch, images = recipe.training.batch_size, len(splits.train)
    if batch > images:
        steps = counted(recipe.training.epochs, "step")
        yield (
            f"training.batch_size is {batch:,}, but there are {images:,} training images: each"
            f" epoch is one step, the whole training {steps}; try"
            f" training.batch_size={_suitable(images)}"
        )
    model, side = recipe.model, splits.train.images.shape[1]
    reduced = recipe.data.name == "folder" and side == recipe.data.image_size
    if isinstance(model, Pretrained) and reduced and side < model.image_size:
        yield (
            f"the images are reduced to data.image_size = {side} pixels, and then enlarged to"
            f" model.image_size = {model.image_size}: details are lost; try"
            f" data.image_size={model.image_size}"
        )


def _suitable(images: int) -> int:
    """Return a power of two that gives an epoch at least eight steps, but no batch over 64."""
    return max(1, min(64, 1 << max(0, (images // 8).bit_length() - 1)))
