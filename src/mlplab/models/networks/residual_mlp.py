"""Residual MLPs: blocks of two dense layers that are added to their input."""

import keras

from mlplab.models import parts
from mlplab.models.whitening import fit
from mlplab.recipes.networks.residual_mlp import ResidualMLP

__all__ = ["build", "fit"]


def build(settings: ResidualMLP, task: parts.Task) -> keras.Model:
    """Return the network of "Scaling MLPs" (Bachmann et al. 2023): inverted bottlenecks.

    A dense layer, ``embedding``, brings the image to ``width``; block k is
    ``x + narrow_k(activation(wide_k(normalisation_k(x))))``, ``wide_k`` being ``expansion`` times
    as wide; a last normalisation comes before ``output``. Dropout follows each block's last layer,
    before the sum.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = parts.flattened(images, settings, task)
    x = parts.dense(settings, task, 1, settings.width, name="embedding")(x)
    inner = settings.expansion * settings.width
    for block in range(1, settings.blocks + 1):
        wide, narrow = ({"name": f"{name}_{block}"} for name in ("wide", "narrow"))
        y = parts.normalisation("layer", f"normalisation_{block}")(x)
        y = parts.dense(settings, task, 2 * block, inner, activation=settings.activation, **wide)(y)
        y = parts.dense(settings, task, 2 * block + 1, settings.width, **narrow)(y)
        y = parts.dropout(y, settings, task, 2 * block + 1)
        x = keras.layers.Add(name=f"sum_{block}")([x, y])
    x = parts.normalisation("layer", "normalisation")(x)
    outputs = parts.output(x, settings, task, 2 * settings.blocks + 2)
    return keras.Model(images, outputs, name="residual_mlp")
