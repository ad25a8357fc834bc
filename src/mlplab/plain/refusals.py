"""What a run may have that plain Keras does not: such a run is not written as a program."""

from mlplab.errors import RunError
from mlplab.recipes.networks import CustomModel
from mlplab.recipes.networks.pretrained import Pretrained
from mlplab.recipes.recipe import Recipe


def check(recipe: Recipe, rewinds: int) -> None:
    """Refuse a run with a part that has no form in plain Keras.

    Args:
        recipe: complete.
        rewinds: how often the run repeated an epoch.

    Raises:
        RunError: naming the part.
    """
    if part := _part(recipe, rewinds):
        raise RunError(
            f"this run cannot be written as a program of plain Keras: {part}."
            " Its network is in `model.keras`, which Keras opens"
        )


def _part(recipe: Recipe, rewinds: int) -> str | None:
    model = recipe.model
    if isinstance(model, CustomModel):
        return f"its network is your own code, {model.name}"
    if recipe.teacher is not None:
        return "[teacher] needs the networks of other runs"
    if model.init_from is not None:
        return f"model.init_from: it starts from the weights of {model.init_from}"
    if recipe.data.exclude is not None:
        return "data.exclude leaves out the files of a list"
    if recipe.data.fold is not None:
        return "data.fold holds one of several equal parts out"
    if recipe.training.resizing:
        return "training.resizing changes the resolution while it trains"
    if recipe.evaluation.calibrate:
        return "evaluation.calibrate changes the weights when training has ended"
    if rewinds:
        return "training.on_divergence = 'rewind' repeated some of its epochs"
    for key, callback in recipe.callbacks.items():
        if callback.is_custom:
            return f"callbacks.{key} is your own code, {callback.name}"
    if isinstance(model, Pretrained) and model.network.startswith("EfficientNetB"):
        known = model.weights in ("imagenet", "random")
        return None if known else f"model.weights: Keras scales {model.network} otherwise"
    return None
