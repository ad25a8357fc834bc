"""LeNet-5: the first convolutional network in wide use."""

import keras

from mlplab.models import parts
from mlplab.models.layers.pooling import AveragePooling2D
from mlplab.recipes.networks.lenet import LeNet

# Sides of the images that the layers were made for. Smaller ones get zeros around them.
PUBLISHED = (32, 14)


def build(settings: LeNet, task: parts.Task) -> keras.Model:
    """Return LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998), as it is taught today.

    Convolutions see all maps, subsampling is a mean without weights, and the output is a softmax.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = task.scaling(images)
    for number, (filters, made_for) in enumerate(zip((6, 16), PUBLISHED, strict=True), start=1):
        padding = "valid" if min(x.shape[1:3]) >= made_for else "same"
        options = {"padding": padding, "name": f"convolution_{number}"}
        layer = parts.convolution(settings, task, number, filters, 5, **options)
        x = parts.hidden(x, settings, task, number, layer, "none")
        if min(x.shape[1:3]) > 1:
            x = AveragePooling2D(2, name=f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, units in enumerate((120, 84), start=3):
        layer = parts.dense(settings, task, number, units, name=f"dense_{number}")
        x = parts.hidden(x, settings, task, number, layer, "none")
    return keras.Model(images, parts.output(x, settings, task, 5), name="lenet")
