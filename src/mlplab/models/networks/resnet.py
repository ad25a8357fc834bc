"""Residual networks in the form for small images."""

import keras

from mlplab.errors import RecipeError
from mlplab.models import parts
from mlplab.recipes.networks.resnet import ResNet

STAGES = 3


def build(settings: ResNet, task: parts.Task) -> keras.Model:
    """Return a residual network for small images (He, Zhang, Ren & Sun 2016, section 4.2).

    A convolution, then three stages of blocks of two convolutions each, the second and third stage
    at half the resolution of the one before; the mean over the image; the output. Where a block
    changes the shape, a 1×1 convolution projects its input.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.

    Raises:
        RecipeError: for a depth that no such network has.
    """
    if (settings.depth - 2) % (2 * STAGES):
        below = settings.depth - (settings.depth - 2) % (2 * STAGES)
        raise RecipeError(
            f"model.depth = {settings.depth}: expected 6 n + 2 for n blocks in each of the three"
            f" stages; the nearest are {max(below, 8)} and {below + 2 * STAGES}"
        )
    images = parts.images(task)
    number = 0

    def convolved(x: keras.KerasTensor, filters: int, side: int, stride: int) -> keras.KerasTensor:
        nonlocal number
        number += 1
        options = {"strides": stride, "use_bias": False, "name": f"convolution_{number}"}
        layer = parts.convolution(settings, task, number, filters, side, **options)
        return parts.normalisation("batch", f"normalisation_{number}")(layer(x))

    def activated(x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Activation(settings.activation, name=f"activation_{number}")(x)

    x = activated(convolved(task.scaling(images), settings.width, 3, 1))
    for stage in range(STAGES):
        filters = settings.width * 2**stage
        for block in range((settings.depth - 2) // (2 * STAGES)):
            stride = 2 if stage and not block else 1
            y = activated(convolved(x, filters, 3, stride))
            y = convolved(parts.dropout(y, settings, task, number), filters, 3, 1)
            if stride > 1:
                x = convolved(x, filters, 1, stride)
            x = activated(keras.layers.Add(name=f"sum_{number}")([x, y]))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, parts.output(x, settings, task, number + 1), name="resnet")
