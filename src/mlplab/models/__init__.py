"""Networks: one file a family, each with a ``build`` that returns a ``keras.Model``."""

from collections.abc import Callable

import keras

from mlplab import config
from mlplab.models import custom, inputs, mlp
from mlplab.models.dense import Precision

__all__ = ["MODELS", "build", "custom", "inputs", "mlp"]

MODELS: dict[str, Callable[..., keras.Model]] = {"mlp": mlp.build}


def complete(
    settings: config.MLP | config.CustomModel, trust: bool
) -> config.MLP | config.CustomModel:
    """Return the settings with Keras's own spellings; find code of the user's own.

    Raises:
        RecipeError: for a name that does not exist, or code that is not trusted or not there.
    """
    if isinstance(settings, config.CustomModel):
        custom.load_object(settings.name, trust)
        return settings
    return mlp.complete(settings)


def build(
    settings: config.MLP | config.CustomModel,
    input_shape: tuple[int, int, int],
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    trust: bool = False,
    precision: Precision = "float32",
) -> keras.Model:
    """Return the network of a recipe, with initial weights.

    It takes raw uint8 images [n, height, width, channels] and gives probabilities, float32
    [n, classes].

    Args:
        settings: the recipe's ``[model]``.
        input_shape: height, width and channels of an image.
        classes: number of classes.
        scaling: the layer of :func:`mlplab.models.inputs.scaling_layer`.
        seed: decides the initial weights and the streams of dropout.
        trust: whether code of the user's own may be loaded.
        precision: of the factors of dense products; without meaning for the user's own networks.

    Raises:
        RecipeError: if the settings do not make such a network.
    """
    if isinstance(settings, config.CustomModel):
        return custom.build(settings, input_shape, classes, scaling, seed, trust)
    return MODELS[settings.name](settings, input_shape, classes, scaling, seed, precision)
