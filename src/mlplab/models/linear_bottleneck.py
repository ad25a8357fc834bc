"""MLPs with linear bottlenecks: wide layers, and narrow ones without activation between them."""

import keras

from mlplab.families import LinearBottleneck
from mlplab.models import parts
from mlplab.models.dense import Precision


def build(
    settings: LinearBottleneck,
    input_shape: parts.Shape,
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    precision: Precision = "float32",
) -> keras.Model:
    """Return the network of Lin, Memisevic & Konda (2015).

    Wide layer k is ``dense_k``; ``bottleneck_k``, linear, comes between it and the next. Two wide
    layers of 4,000 units with a bottleneck of 1,000 have 8 million weights between them; without,
    they would have 16 million, and more of them than can be learnt.

    Args and errors are those of :func:`mlplab.models.mlp.build`.
    """
    images = parts.images(input_shape)
    x = parts.flattened(images, settings, scaling, precision)
    form = settings.normalisation
    options = {"precision": precision, "use_bias": form != "batch"}
    for number, units in enumerate(settings.hidden, start=1):
        if number > 1:
            between = {"name": f"bottleneck_{number - 1}", "precision": precision}
            x = parts.dense(settings, seed, 2 * number - 2, settings.bottleneck, **between)(x)
        name = f"dense_{number}"
        layer = parts.dense(settings, seed, 2 * number - 1, units, name=name, **options)
        x = parts.hidden(x, settings, seed, number, layer, form)
    outputs = parts.output(x, settings, seed, 2 * len(settings.hidden), classes)
    return keras.Model(images, outputs, name="linear_bottleneck")
