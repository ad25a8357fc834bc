"""MLPs with linear bottlenecks: wide layers, and narrow ones without activation between them."""

import keras

from mlplab.models import parts
from mlplab.models.whitening import fit
from mlplab.recipes.networks.linear_bottleneck import LinearBottleneck

__all__ = ["build", "fit"]


def build(settings: LinearBottleneck, task: parts.Task) -> keras.Model:
    """Return the network of Lin, Memisevic & Konda (2015).

    Wide layer k is ``dense_k``; ``bottleneck_k``, linear, comes between it and the next. Two wide
    layers of 4,000 units with a bottleneck of 1,000 have 8 million weights between them; without,
    they would have 16 million, more than can be learnt.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = parts.flattened(images, settings, task)
    form = settings.normalisation
    for number, units in enumerate(settings.hidden, start=1):
        if number > 1:
            between = f"bottleneck_{number - 1}"
            x = parts.dense(settings, task, 2 * number - 2, settings.bottleneck, name=between)(x)
        options = {"name": f"dense_{number}", "use_bias": form != "batch"}
        layer = parts.dense(settings, task, 2 * number - 1, units, **options)
        x = parts.hidden(x, settings, task, number, layer, form)
    outputs = parts.output(x, settings, task, 2 * len(settings.hidden))
    return keras.Model(images, outputs, name="linear_bottleneck")
