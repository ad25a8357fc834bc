"""Plain convolutional networks: stages of convolutions, each at half the resolution."""

import keras

from mlplab.models import parts
from mlplab.recipes.networks.cnn import CNN


def build(settings: CNN, task: parts.Task) -> keras.Model:
    """Return a convolutional network with batch normalisation.

    Layer k is ``convolution_k`` or, after the ``flatten``, ``dense_k``, with its
    ``normalisation_k`` and ``activation_k``. The first convolution of each stage has stride 2.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x, number = task.scaling(images), 0
    for channels in settings.channels:
        for strides in (2, *[1] * (settings.depth - 1)):
            number += 1
            options = {"strides": strides, "name": f"convolution_{number}", "use_bias": False}
            layer = parts.convolution(settings, task, number, channels, settings.kernel, **options)
            x = parts.hidden(x, settings, task, number, layer, "batch")
    x = keras.layers.Flatten(name="flatten")(x)
    for units in settings.hidden:
        number += 1
        layer = parts.dense(settings, task, number, units, name=f"dense_{number}", use_bias=False)
        x = parts.hidden(x, settings, task, number, layer, "batch")
    outputs = parts.output(x, settings, task, number + 1)
    return keras.Model(images, outputs, name="cnn")
