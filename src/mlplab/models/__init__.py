"""Networks: one file a family, each with a ``build`` that returns a ``keras.Model``."""

from collections.abc import Callable

import jax
import keras

from mlplab.families import CustomModel, Family
from mlplab.models import (
    airnet,
    cnn,
    convmixer,
    custom,
    inputs,
    lenet,
    linear,
    linear_bottleneck,
    mixer,
    mlp,
    parts,
    residual_mlp,
    resnet,
    s_fc,
    structured_init,
    vit,
)
from mlplab.models.dense import Precision

__all__ = ["MODELS", "build", "custom", "inputs", "outline"]

MODELS: dict[str, Callable[..., keras.Model]] = {
    "linear": linear.build,
    "mlp": mlp.build,
    "residual-mlp": residual_mlp.build,
    "linear-bottleneck": linear_bottleneck.build,
    "s-fc": s_fc.build,
    "structured-init": structured_init.build,
    "lenet": lenet.build,
    "cnn": cnn.build,
    "resnet": resnet.build,
    "airnet": airnet.build,
    "convmixer": convmixer.build,
    "mixer": mixer.build,
    "vit": vit.build,
}


def complete(settings: Family | CustomModel, trust: bool) -> Family | CustomModel:
    """Return the settings with Keras's own spellings; find code of the user's own.

    Raises:
        RecipeError: for a name that does not exist, or code that is not trusted or not there.
    """
    if isinstance(settings, CustomModel):
        custom.load_object(settings.name, trust)
        return settings
    return parts.complete(settings)


def build(
    settings: Family | CustomModel,
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
    if isinstance(settings, CustomModel):
        return custom.build(settings, input_shape, classes, scaling, seed, trust)
    settings = parts.complete(settings)
    task = parts.Task(input_shape, classes, scaling, seed, precision)
    return MODELS[settings.name](settings, task)


def outline(settings: Family, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the network of a recipe without its weights: its variables have shapes alone."""
    made: list[keras.Model] = []
    scaling = inputs.scaling_layer("symmetric")
    jax.eval_shape(lambda: made.append(build(settings, input_shape, classes, scaling, 0)))
    return made[0]
