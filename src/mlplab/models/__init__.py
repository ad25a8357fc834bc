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
    pretrained,
    residual_mlp,
    resnet,
    s_fc,
    structured_init,
    vit,
)
from mlplab.models.parts import Task

__all__ = ["MODELS", "Task", "build", "custom", "inputs", "outline"]

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
    "pretrained": pretrained.build,
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


def build(settings: Family | CustomModel, task: Task, trust: bool = False) -> keras.Model:
    """Return the network of a recipe, with initial weights.

    It takes raw uint8 images [n, height, width, channels] and gives probabilities, float32
    [n, classes].

    Args:
        settings: the recipe's ``[model]``.
        task: what the network is for; its precision has no meaning for the user's own networks.
        trust: whether code of the user's own may be loaded.

    Raises:
        RecipeError: if the settings do not make such a network.
    """
    if isinstance(settings, CustomModel):
        return custom.build(settings, task, trust)
    settings = parts.complete(settings)
    return MODELS[settings.name](settings, task)


def outline(settings: Family, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the network of a recipe without its weights: its variables have shapes alone."""
    made: list[keras.Model] = []
    task = Task(input_shape, classes, inputs.scaling_layer("symmetric"), 0)
    jax.eval_shape(lambda: made.append(build(settings, task)))
    return made[0]
