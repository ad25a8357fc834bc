"""ConvMixer: depthwise and pointwise convolutions of patches."""

import keras

from mlplab.models import parts
from mlplab.models.layers.depthwise import DepthwiseConv2D
from mlplab.recipes.networks.convmixer import ConvMixer

MOMENTUM = 0.9
"""Of the normalisation's statistics, as in the authors' code. Keras's 0.99 needs more steps than an
epoch has; until then the network would be evaluated with statistics of its first steps."""


def build(settings: ConvMixer, task: parts.Task) -> keras.Model:
    """Return a ConvMixer (Trockman & Kolter 2022, "Patches Are All You Need?").

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.

    Raises:
        RecipeError: if patches do not tile the image.
    """
    parts.check_patches(settings.patch, task.input_shape)
    images = parts.images(task)
    number = 0

    def finished(x: keras.KerasTensor) -> keras.KerasTensor:
        x = keras.layers.Activation(settings.activation, name=f"activation_{number}")(x)
        name = f"normalisation_{number}"
        return keras.layers.BatchNormalization(momentum=MOMENTUM, name=name)(x)

    def convolved(x: keras.KerasTensor, side: int, stride: int) -> keras.KerasTensor:
        nonlocal number
        number += 1
        options = {"strides": stride, "name": f"convolution_{number}"}
        return finished(
            parts.convolution(settings, task, number, settings.width, side, **options)(x)
        )

    x = convolved(task.scaling(images), settings.patch, settings.patch)
    for _ in range(settings.depth):
        number += 1
        initialiser = parts.initialiser(settings, task.seed, number)
        y = DepthwiseConv2D(
            settings.kernel, depthwise_initializer=initialiser, name=f"depthwise_{number}"
        )(x)
        x = keras.layers.Add(name=f"sum_{number}")([x, finished(y)])
        x = parts.dropout(convolved(x, 1, 1), settings, task, number)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, parts.output(x, settings, task, number + 1), name="convmixer")
