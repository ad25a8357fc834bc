"""Multilayer perceptrons: dense layers on the flattened image."""

import keras

from mlplab.families import MLP
from mlplab.models import parts
from mlplab.models.dense import Precision


def build(
    settings: MLP,
    input_shape: parts.Shape,
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    precision: Precision = "float32",
) -> keras.Model:
    """Return a multilayer perceptron with initial weights that depend on ``seed`` alone.

    Layers are named ``scaling``, ``pool``, ``flatten``, ``whitening``, then for hidden layer k
    ``dense_k``, ``normalisation_k``, ``activation_k`` and ``dropout_k`` as far as there are such,
    and ``output``. Without normalisation the activation is part of the dense layer. A ``whitening``
    is not trained: :func:`mlplab.models.whitening.fit` sets it.

    Args:
        settings: the recipe's ``[model]``, complete.
        input_shape: height, width and channels of an image.
        classes: number of classes.
        scaling: the layer of :func:`mlplab.models.inputs.scaling_layer`.
        seed: the recipe's.
        precision: of the factors of the hidden layers' products.

    Raises:
        RecipeError: for a resolution or whitening that the images are too small for.
    """
    images = parts.images(input_shape)
    penalty = {}
    if settings.l1 or settings.l2:
        penalty["kernel_regularizer"] = keras.regularizers.L1L2(l1=settings.l1, l2=settings.l2)
    x = parts.flattened(images, settings, scaling, precision)
    # Batch normalisation takes any bias away again and has an offset of its own.
    options = {"precision": precision, "use_bias": settings.normalisation != "batch", **penalty}
    for number, units in enumerate(settings.hidden, start=1):
        layer = parts.dense(settings, seed, number, units, name=f"dense_{number}", **options)
        x = parts.hidden(x, settings, seed, number, layer, settings.normalisation)
    outputs = parts.output(x, settings, seed, len(settings.hidden) + 1, classes, **penalty)
    return keras.Model(images, outputs, name="mlp")
