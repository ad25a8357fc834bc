"""S-FC: the shallow, very wide MLP that learns local receptive fields, if it is made sparse."""

import keras

from mlplab.models import parts
from mlplab.models.whitening import fit
from mlplab.recipes.networks.s_fc import SFC

__all__ = ["build", "fit"]


def build(settings: SFC, task: parts.Task) -> keras.Model:
    """Return S-FC (Neyshabur 2020, "Towards Learning Convolutions from Scratch").

    ``dense_1`` has as many units as a convolution of ``channels`` with stride 2 has outputs,
    ``dense_2`` 24 times ``channels``; both without bias, with batch normalisation.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = parts.flattened(images, settings, task)
    height, width, _ = task.input_shape
    positions = -(-height // 2) * -(-width // 2)
    for number, units in enumerate((positions * settings.channels, 24 * settings.channels), 1):
        options = {"name": f"dense_{number}", "use_bias": False}
        layer = parts.dense(settings, task, number, units, **options)
        x = parts.hidden(x, settings, task, number, layer, "batch")
    outputs = parts.output(x, settings, task, 3)
    return keras.Model(images, outputs, name="s_fc")
