"""Plain convolutional networks: stages of convolutions, each at half the resolution."""

from typing import Any

import keras

from mlplab.families import CNN
from mlplab.models import parts
from mlplab.models.convolution import Conv2D
from mlplab.models.dense import Precision


def build(
    settings: CNN,
    input_shape: parts.Shape,
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    precision: Precision = "float32",
) -> keras.Model:
    """Return a convolutional network with batch normalisation.

    Layer k is ``convolution_k`` or, after the ``flatten``, ``dense_k``, with its
    ``normalisation_k`` and ``activation_k``. The first convolution of each stage has stride 2.

    Args and errors are those of :func:`mlplab.models.mlp.build`.
    """
    images = parts.images(input_shape)
    x, number = scaling(images), 0
    options: dict[str, Any] = {"precision": precision, "use_bias": False}
    for channels in settings.channels:
        for strides in (2, *[1] * (settings.depth - 1)):
            number += 1
            layer = Conv2D(
                channels,
                settings.kernel,
                strides=strides,
                name=f"convolution_{number}",
                kernel_initializer=parts.initialiser(settings, seed, number),
                **options,
            )
            x = parts.hidden(x, settings, seed, number, layer, "batch")
    x = keras.layers.Flatten(name="flatten")(x)
    for units in settings.hidden:
        number += 1
        layer = parts.dense(settings, seed, number, units, name=f"dense_{number}", **options)
        x = parts.hidden(x, settings, seed, number, layer, "batch")
    outputs = parts.output(x, settings, seed, number + 1, classes)
    return keras.Model(images, outputs, name="cnn")
