"""Multilayer perceptrons: dense layers on the flattened image."""

import inspect
from typing import Any

import keras
import numpy as np

from mlplab import config
from mlplab.errors import RecipeError, nearest
from mlplab.models.dense import Dense, Precision
from mlplab.models.dropout import Dropout
from mlplab.models.pooling import AveragePooling2D

_LARGEST = 2**31

# glu halves the width of its layer; threshold has no defaults.
_ACTIVATIONS = [
    name
    for name, value in vars(keras.activations).items()
    if inspect.isfunction(value)
    and name not in ("get", "serialize", "deserialize", "glu", "threshold")
]
_INITIALISERS = [
    name
    for name, value in vars(keras.initializers).items()
    if inspect.isclass(value) and name.islower() and name != "stft"
]

# What a seed is for, so that no two of a network's random streams are the same.
_KERNEL, _DROPOUT = 0, 1


def build(
    settings: config.MLP,
    input_shape: tuple[int, int, int],
    classes: int,
    scaling: keras.layers.Layer,
    seed: int,
    precision: Precision = "float32",
) -> keras.Model:
    """Return a multilayer perceptron with initial weights that depend on ``seed`` alone.

    It takes raw uint8 images [n, height, width, channels] and gives probabilities, float32
    [n, classes]. Layers are named ``scaling``, ``pool``, ``flatten``, ``whitening``, then for
    hidden layer k ``dense_k``, ``normalisation_k``, ``activation_k`` and ``dropout_k`` as far as
    there are such, and ``output``. Without normalisation the activation is part of the dense layer.
    A ``whitening`` is not trained: :func:`mlplab.models.whitening.fit` sets it.

    Args:
        settings: the recipe's ``[model]``.
        input_shape: height, width and channels of an image.
        classes: number of classes.
        scaling: the layer of :func:`mlplab.models.inputs.scaling_layer`.
        seed: the recipe's.
        precision: of the factors of the hidden layers' products. The output layer's is float32: it
            is small, and decides the probabilities.

    Raises:
        RecipeError: for an unknown activation or initialiser, a resolution or whitening that the
            images are too small for, or a network too large to train.
    """
    settings = complete(settings)
    _check_input(settings, input_shape)
    parameters = parameter_count(settings, input_shape, classes)
    if parameters > _LARGEST:
        raise RecipeError(
            f"model.hidden makes a network of {parameters:,} parameters; "
            f"up to {_LARGEST:,} are possible. Use fewer or narrower layers."
        )
    images = keras.Input(input_shape, dtype="uint8", name="images")
    x = scaling(images)
    if settings.pool > 1:
        x = AveragePooling2D(settings.pool, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    if settings.whitening is not None:
        # Set before training: drawing weights for it would only take time.
        frozen = {"kernel_initializer": "zeros", "trainable": False, "name": "whitening"}
        x = Dense(settings.whitening, precision, **frozen)(x)
    for number, units in enumerate(settings.hidden, start=1):
        x = _hidden(x, number, units, settings, seed, precision)
    options = {"activation": "softmax", "name": "output"}
    last = len(settings.hidden) + 1
    outputs = _dense(last, classes, settings, seed, **options)(x)
    return keras.Model(images, outputs, name="mlp")


def complete(settings: config.MLP) -> config.MLP:
    """Return the settings with Keras's own spelling of the activation and the initialiser.

    Raises:
        RecipeError: for one that does not exist.
    """
    return settings.model_copy(
        update={
            "activation": _named(settings.activation, _ACTIVATIONS, "model.activation"),
            "initialiser": _named(settings.initialiser, _INITIALISERS, "model.initialiser"),
        }
    )


def parameter_count(settings: config.MLP, input_shape: tuple[int, int, int], classes: int) -> int:
    """Return how many parameters :func:`build` would make, without making them.

    As Keras counts: the moving statistics of batch normalisation are among them.
    """
    # By unit: a bias or batch normalisation's four; layer normalisation's two beside the bias.
    by_unit = {"none": 1, "batch": 4, "layer": 3}[settings.normalisation]
    total, width = 0, _inputs(settings, input_shape)
    if settings.whitening is not None:
        total, width = settings.whitening * (width + 1), settings.whitening
    for units in settings.hidden:
        total += units * (width + by_unit)
        width = units
    return total + classes * (width + 1)


def _check_input(settings: config.MLP, input_shape: tuple[int, int, int]) -> None:
    height, width, _ = input_shape
    if settings.pool > min(height, width):
        raise RecipeError(
            f"model.pool = {settings.pool} is larger than the images, {height}×{width} pixels"
        )
    inputs = _inputs(settings, input_shape)
    if settings.whitening is not None and settings.whitening > inputs:
        raise RecipeError(
            f"model.whitening = {settings.whitening} components of {inputs} inputs: at most"
            f" {inputs}"
        )


def _inputs(settings: config.MLP, input_shape: tuple[int, int, int]) -> int:
    """Return the size of the flattened image; what does not fill a square is left out."""
    height, width, channels = input_shape
    return (height // settings.pool) * (width // settings.pool) * channels


def _hidden(
    x: keras.KerasTensor,
    number: int,
    units: int,
    settings: config.MLP,
    seed: int,
    precision: Precision,
) -> keras.KerasTensor:
    """Append hidden layer ``number`` (from 1), with what belongs to it, to the tensor ``x``."""
    activation = settings.activation
    options = {"name": f"dense_{number}", "precision": precision}
    if settings.normalisation == "none":
        x = _dense(number, units, settings, seed, activation=activation, **options)(x)
    else:
        # Batch normalisation takes any bias away again and has an offset of its own.
        use_bias = settings.normalisation != "batch"
        x = _dense(number, units, settings, seed, use_bias=use_bias, **options)(x)
        x = _normalisation(settings, number)(x)
        x = keras.layers.Activation(activation, name=f"activation_{number}")(x)
    if settings.dropout:
        stream = _seed(seed, number, _DROPOUT)
        x = Dropout(settings.dropout, seed=stream, name=f"dropout_{number}")(x)
    return x


def _dense(number: int, units: int, settings: config.MLP, seed: int, **options: Any) -> Dense:
    cls = getattr(keras.initializers, settings.initialiser)
    seeded = "seed" in inspect.signature(cls).parameters
    return Dense(
        units,
        kernel_initializer=cls(seed=_seed(seed, number, _KERNEL)) if seeded else cls(),
        kernel_regularizer=_regularizer(settings),
        **options,
    )


def _named(name: str, known: list[str], where: str) -> str:
    """Return Keras's own spelling of a name in any capitalisation, with or without underscores."""
    for candidate in known:
        if candidate.replace("_", "") == name.lower().replace("_", ""):
            return candidate
    raise RecipeError(f"{where} = '{name}' is not known{nearest(name, known)}")


def _seed(seed: int, *stream: int) -> int:
    """Return the seed of one random stream of the network.

    Keras would otherwise draw from its global generator, and a layer's weights would depend on what
    was built before. Hashing (layer, purpose) into the seed makes streams independent of each other
    and of the network's depth.
    """
    word = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1)[0]
    return int(word >> 1)  # 31 bits: positive in whatever integers the backend keeps seeds


def _regularizer(settings: config.MLP) -> keras.regularizers.Regularizer | None:
    if not (settings.l1 or settings.l2):
        return None
    return keras.regularizers.L1L2(l1=settings.l1, l2=settings.l2)


def _normalisation(settings: config.MLP, number: int) -> keras.layers.Layer:
    name = f"normalisation_{number}"
    if settings.normalisation == "batch":
        return keras.layers.BatchNormalization(name=name)
    return keras.layers.LayerNormalization(name=name)
