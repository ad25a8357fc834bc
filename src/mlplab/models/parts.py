"""The parts from which the families of networks are built."""

import inspect
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from mlplab.errors import RecipeError, nearest
from mlplab.models.layers.convolution import Conv2D
from mlplab.models.layers.dense import Dense, Precision
from mlplab.models.layers.dropout import Dropout
from mlplab.models.layers.pooling import AveragePooling2D
from mlplab.recipes.networks import Deep, FlatNetwork, Network

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""

Values = tuple[float, float, tuple[int, ...]]
"""What pixels stand for in a program's arrays: scale * pixel + offset, in examples of a shape."""


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Attributes:
        input_shape: of its images.
        classes: number of classes.
        scaling: the layer of :func:`mlplab.models.layers.inputs.scaling_layer`.
        seed: decides the initial weights and the streams of dropout.
        precision: of the factors of the hidden layers' products.
        values: of the arrays that a program passed, for networks that it passed.
    """

    input_shape: Shape
    classes: int
    scaling: keras.layers.Layer
    seed: int
    precision: Precision = "float32"
    values: Values | None = None


@dataclass(frozen=True)
class LoadedWeights:
    """Weights loaded into a network that are not from a run.

    Attributes:
        name: where they are from.
        network: the network that they belong to.
        digest: their SHA-256, in hexadecimal.
        data_known: whether it is certain that they were trained on none of our images.
    """

    name: str
    network: str
    digest: str
    data_known: bool


class WithDropout(Protocol):
    """Settings with a rate of dropout."""

    @property
    def dropout(self) -> float:
        """Share of units dropped."""


FEATURES = "features"
"""The layer whose output a new head sees, in networks that have one."""

# glu halves the width of its layer; threshold has no defaults.
ACTIVATIONS = [
    name
    for name, value in vars(keras.activations).items()
    if inspect.isfunction(value)
    and name not in ("get", "serialize", "deserialize", "glu", "threshold")
]
INITIALISERS = [
    name
    for name, value in vars(keras.initializers).items()
    if inspect.isclass(value) and name.islower() and name != "stft"
]

# Purposes of seeds, so that no two of a network's random streams are the same.
_KERNEL, _DROPOUT, POSITION, PRETRAINED = 0, 1, 2, 3


def complete(settings: Network) -> Network:
    """Return the settings with Keras's own spelling of the activation and the initialiser.

    Raises:
        RecipeError: for one that does not exist.
    """
    update = {"initialiser": _named(settings.initialiser, INITIALISERS, "model.initialiser")}
    if isinstance(settings, Deep):
        update["activation"] = _named(settings.activation, ACTIVATIONS, "model.activation")
    return settings.model_copy(update=update)


def _named(name: str, known: list[str], where: str) -> str:
    """Return Keras's own spelling of a name in any capitalisation, with or without underscores."""
    for candidate in known:
        if candidate.replace("_", "") == name.lower().replace("_", ""):
            return candidate
    raise RecipeError(f"{where} = '{name}' is not known{nearest(name, known)}")


def stream(seed: int, *place: int) -> int:
    """Return the seed of one random stream of the network.

    Keras would otherwise draw from its global generator, and a layer's weights would depend on what
    was built before. Hashing (layer, purpose) into the seed makes streams independent of each other
    and of the network's depth.
    """
    word = np.random.SeedSequence(seed, spawn_key=place).generate_state(1)[0]
    return int(word >> 1)  # 31 bits: positive in any integer type that a backend keeps seeds in


def images(task: Task) -> keras.KerasTensor:
    """Return the network's input: raw uint8 images [n, height, width, channels]."""
    return keras.Input(task.input_shape, dtype="uint8", name="images")


def initialiser(settings: Network, seed: int, number: int) -> keras.initializers.Initializer:
    """Return the initialiser of the kernel of layer ``number``."""
    cls = getattr(keras.initializers, settings.initialiser)
    seeded = "seed" in inspect.signature(cls).parameters
    return cls(seed=stream(seed, number, _KERNEL)) if seeded else cls()


def dense(settings: Network, task: Task, number: int, units: int, **options: Any) -> Dense:
    """Return a dense layer whose initial weights are those of layer ``number``."""
    options = {"precision": task.precision, **options}
    return Dense(units, kernel_initializer=initialiser(settings, task.seed, number), **options)


def convolution(
    settings: Network, task: Task, number: int, filters: int, side: int, **options: Any
) -> Conv2D:
    """Return a convolution whose initial weights are those of layer ``number``."""
    options = {"precision": task.precision, **options}
    options["kernel_initializer"] = initialiser(settings, task.seed, number)
    return Conv2D(filters, side, **options)


def penalty(l1: float, l2: float) -> dict[str, Any]:
    """Return the options of a layer whose kernel is penalised, or none."""
    if not l1 and not l2:
        return {}
    return {"kernel_regularizer": keras.regularizers.L1L2(l1=l1, l2=l2)}


def normalisation(form: str, name: str) -> keras.layers.Layer:
    """Return a layer of normalisation, "batch" or "layer"."""
    if form == "batch":
        return keras.layers.BatchNormalization(name=name)
    return keras.layers.LayerNormalization(name=name)


def hidden(
    x: keras.KerasTensor,
    settings: Deep,
    task: Task,
    number: int,
    layer: keras.layers.Layer,
    form: str,
) -> keras.KerasTensor:
    """Append hidden layer ``number`` (from 1), with what belongs to it, to the tensor ``x``.

    Args:
        x: to append to.
        settings: complete.
        task: what the network is for.
        number: of the layer.
        layer: the product, dense or a convolution, without activation.
        form: of the normalisation between product and activation; "none" for none.
    """
    if form == "none":
        layer.activation = keras.activations.get(settings.activation)
        x = layer(x)
    else:
        x = normalisation(form, f"normalisation_{number}")(layer(x))
        x = keras.layers.Activation(settings.activation, name=f"activation_{number}")(x)
    return dropout(x, settings, task, number)


def dropout(
    x: keras.KerasTensor, settings: WithDropout, task: Task, number: int
) -> keras.KerasTensor:
    """Append the dropout of layer ``number``, if there is any."""
    if not settings.dropout:
        return x
    name = f"dropout_{number}"
    return Dropout(settings.dropout, seed=stream(task.seed, number, _DROPOUT), name=name)(x)


def output(
    x: keras.KerasTensor, settings: Network, task: Task, number: int, **options: Any
) -> keras.KerasTensor:
    """Append the output layer: softmax, in float32, as it determines the probabilities."""
    options |= {"activation": "softmax", "name": "output", "precision": "float32"}
    return dense(settings, task, number, task.classes, **options)(x)


def flattened(x: keras.KerasTensor, settings: FlatNetwork, task: Task) -> keras.KerasTensor:
    """Append scaling, pooling, flattening and whitening.

    Raises:
        RecipeError: for a pooling or whitening that the images are too small for.
    """
    height, width, channels = x.shape[1:]
    if settings.pool > min(height, width):
        raise RecipeError(
            f"model.pool = {settings.pool} is larger than the images, {height}×{width} pixels"
        )
    # Pixels that do not fill a square are left out.
    inputs = (height // settings.pool) * (width // settings.pool) * channels
    if settings.whitening is not None and settings.whitening > inputs:
        raise RecipeError(
            f"model.whitening = {settings.whitening} components of {inputs} inputs: at most"
            f" {inputs}"
        )
    x = task.scaling(x)
    if settings.pool > 1:
        x = AveragePooling2D(settings.pool, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    if settings.whitening is None:
        return x
    units = settings.whitening if settings.whitening_form == "pca" else inputs
    # Set before training: drawing weights for it would only take time.
    frozen = {"kernel_initializer": "zeros", "trainable": False, "name": "whitening"}
    return Dense(units, task.precision, **frozen)(x)


def check_patches(patch: int, input_shape: Shape) -> None:
    """Refuse patches that do not tile the image.

    Raises:
        RecipeError: if they do not.
    """
    height, width, _ = input_shape
    if height % patch or width % patch:
        raise RecipeError(
            f"model.patch = {patch}: squares of that side do not tile images of"
            f" {height}×{width} pixels"
        )
