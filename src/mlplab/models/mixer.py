"""MLP-Mixer: dense layers across patches in turns with dense layers across channels."""

import keras

from mlplab.errors import RecipeError
from mlplab.families import Mixer
from mlplab.models import parts
from mlplab.models.convolution import Conv2D
from mlplab.models.dense import Precision


def build(
    settings: Mixer,
    input_shape: parts.Shape,
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    precision: Precision = "float32",
) -> keras.Model:
    """Return an MLP-Mixer (Tolstikhin et al. 2021), whose weights patches share: no plain MLP.

    Args and errors are those of :func:`mlplab.models.mlp.build`.

    Raises:
        RecipeError: if patches do not tile the image.
    """
    height, width, _ = input_shape
    if height % settings.patch or width % settings.patch:
        raise RecipeError(
            f"model.patch = {settings.patch}: squares of that side do not tile images of"
            f" {height}×{width} pixels"
        )
    images = parts.images(input_shape)
    x = scaling(images)
    x = Conv2D(
        settings.width,
        settings.patch,
        precision,
        strides=settings.patch,
        name="patches",
        kernel_initializer=parts.initialiser(settings, seed, 1),
    )(x)
    tokens = (height // settings.patch) * (width // settings.patch)
    x = keras.layers.Reshape((tokens, settings.width), name="tokens")(x)
    number = 1

    def mixed(x: keras.KerasTensor, name: str, inner: int, outer: int) -> keras.KerasTensor:
        nonlocal number
        first, second = ({"name": f"{name}_{step}", "precision": precision} for step in (1, 2))
        number += 2
        x = parts.dense(settings, seed, number - 1, inner, activation=settings.activation, **first)(
            x
        )
        x = parts.dense(settings, seed, number, outer, **second)(x)
        return parts.dropout(x, settings, seed, number)

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
    outputs = parts.output(x, settings, seed, number + 1, classes)
    return keras.Model(images, outputs, name="mixer")
