"""MLP-Mixer: dense layers across patches alternating with dense layers across channels."""

import keras

from mlplab.models import parts
from mlplab.recipes.networks.mixer import Mixer


def build(settings: Mixer, task: parts.Task) -> keras.Model:
    """Return an MLP-Mixer (Tolstikhin et al. 2021), which shares weights among patches.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.

    Raises:
        RecipeError: if patches do not tile the image.
    """
    parts.check_patches(settings.patch, task.input_shape)
    height, width, _ = task.input_shape
    images = parts.images(task)
    x = task.scaling(images)
    patches = {"strides": settings.patch, "name": "patches"}
    x = parts.convolution(settings, task, 1, settings.width, settings.patch, **patches)(x)
    tokens = (height // settings.patch) * (width // settings.patch)
    x = keras.layers.Reshape((tokens, settings.width), name="tokens")(x)
    number = 1

    def mixed(x: keras.KerasTensor, name: str, inner: int, outer: int) -> keras.KerasTensor:
        nonlocal number
        number += 2
        first = {"activation": settings.activation, "name": f"{name}_1"}
        x = parts.dense(settings, task, number - 1, inner, **first)(x)
        x = parts.dense(settings, task, number, outer, name=f"{name}_2")(x)
        return parts.dropout(x, settings, task, number)

    for block in range(1, settings.blocks + 1):
        y = parts.normalisation("layer", f"normalisation_{block}_1")(x)
        y = keras.layers.Permute((2, 1), name=f"across_{block}")(y)
        y = mixed(y, f"patches_{block}", settings.token_units, tokens)
        y = keras.layers.Permute((2, 1), name=f"back_{block}")(y)
        x = keras.layers.Add(name=f"sum_{block}_1")([x, y])
        y = parts.normalisation("layer", f"normalisation_{block}_2")(x)
        y = mixed(y, f"channels_{block}", settings.channel_units, settings.width)
        x = keras.layers.Add(name=f"sum_{block}_2")([x, y])
    x = parts.normalisation("layer", "normalisation")(x)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x)
    outputs = parts.output(x, settings, task, number + 1)
    return keras.Model(images, outputs, name="mixer")
