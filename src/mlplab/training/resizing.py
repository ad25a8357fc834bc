"""Progressive resizing: the first epochs at a lower resolution, for less work.

For an image whose squares of pixels are averaged, a dense layer needs only the sums of its weights
over these squares: a quarter of the work for squares of two pixels, with the weights of the full
resolution, whose training then continues.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from mlplab.errors import RecipeError
from mlplab.models.layers.dense import Dense
from mlplab.recipes.recipe import Recipe


def check(recipe: Recipe, image_shape: tuple[int, ...]) -> None:
    """Refuse resolutions that the recipe's network or images do not have.

    Raises:
        RecipeError: saying what to change.
    """
    stages = recipe.training.resizing
    if not stages:
        return
    if sum(epochs for epochs, _ in stages) >= recipe.training.epochs:
        raise RecipeError(
            f"training.resizing takes all of the {recipe.training.epochs} epochs: leave some for"
            " the full resolution"
        )
    sides = recipe.model.resizable_to(image_shape)
    if sides is None:
        raise RecipeError(
            "training.resizing is for dense networks on the flattened image without a whitening;"
            " leave it out"
        )
    for _, square in stages:
        if any(side % square for side in sides):
            raise RecipeError(
                f"training.resizing: squares of {square} pixels do not tile images of"
                f" {sides[0]}×{sides[1]}"
            )


def square_of(stages: Sequence[Sequence[int]], epoch: int) -> int:
    """Return the side of the squares that are averaged in an epoch; 1 for the full resolution.

    Args:
        stages: of the recipe: how many epochs, at which side.
        epoch: from 0.
    """
    for epochs, square in stages:
        if epoch < epochs:
            return square
        epoch -= epochs
    return 1


@contextmanager
def resized(model: keras.Model, square: int) -> Iterator[None]:
    """Let the first dense layer, while it is traced in the block, see averaged squares."""
    if square == 1:
        yield
        return
    flatten = model.get_layer("flatten")
    after = model.layers[model.layers.index(flatten) + 1 :]
    first = next(layer for layer in after if isinstance(layer, Dense))
    first.coarse = (*flatten.input.shape[1:], square)
    try:
        yield
    finally:
        first.coarse = None
