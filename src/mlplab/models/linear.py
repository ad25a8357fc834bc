"""Linear classifiers: one layer."""

import keras

from mlplab.families import Linear
from mlplab.models import parts


def build(settings: Linear, task: parts.Task) -> keras.Model:
    """Return multinomial logistic regression on the flattened image.

    Args and errors are those of :func:`mlplab.models.mlp.build`.
    """
    images = parts.images(task)
    x = parts.flattened(images, settings, task)
    return keras.Model(
        images, parts.output(x, settings, task, 1, **parts.penalty(settings)), name="linear"
    )
