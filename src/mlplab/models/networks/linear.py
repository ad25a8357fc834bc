"""Linear classifiers: one layer."""

import keras

from mlplab.models import parts
from mlplab.models.whitening import fit
from mlplab.recipes.networks.linear import Linear

__all__ = ["build", "fit"]


def build(settings: Linear, task: parts.Task) -> keras.Model:
    """Return multinomial logistic regression on the flattened image.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = parts.flattened(images, settings, task)
    return keras.Model(
        images,
        parts.output(x, settings, task, 1, **parts.penalty(settings.l1, settings.l2)),
        name="linear",
    )
