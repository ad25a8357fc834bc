"""Multilayer perceptrons: dense layers on the flattened image."""

import keras

from mlplab.models import parts
from mlplab.models.whitening import fit
from mlplab.recipes.networks.mlp import MLP

__all__ = ["build", "fit"]


def build(settings: MLP, task: parts.Task) -> keras.Model:
    """Return a multilayer perceptron with initial weights that depend only on the task's seed.

    Layers are named ``scaling``, ``pool``, ``flatten``, ``whitening``, then for hidden layer k
    ``dense_k``, ``normalisation_k``, ``activation_k`` and ``dropout_k`` where they exist, and
    ``output``. Without normalisation the activation is part of the dense layer. A ``whitening``
    is not trained: :func:`mlplab.models.whitening.fit` sets it.

    Args:
        settings: the recipe's ``[model]``, complete.
        task: what the network is for.

    Raises:
        RecipeError: for a resolution or whitening that the images are too small for.
    """
    images = parts.images(task)
    penalty = parts.penalty(settings.l1, settings.l2)
    x = parts.flattened(images, settings, task)
    # Batch normalisation cancels any bias and has its own offset.
    options = {"use_bias": settings.normalisation != "batch", **penalty}
    for number, units in enumerate(settings.hidden, start=1):
        layer = parts.dense(settings, task, number, units, name=f"dense_{number}", **options)
        x = parts.hidden(x, settings, task, number, layer, settings.normalisation)
    outputs = parts.output(x, settings, task, len(settings.hidden) + 1, **penalty)
    return keras.Model(images, outputs, name="mlp")
