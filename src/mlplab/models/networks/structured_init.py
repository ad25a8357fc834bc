"""A convolutional network written out as dense layers, which training may then change freely.

The dense network starts as the same function, up to rounding; nothing then keeps its weights shared
or local (d'Ascoli, Sagun, Biroli & Bruna 2019, "Finding the Needle in the Haystack with
Convolutions: on the benefits of architectural bias").
"""

from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RecipeError
from mlplab.models import parts
from mlplab.models.layers.convolution import convolved
from mlplab.models.layers.dense import Dense
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.networks import cnn
from mlplab.recipes.networks import CustomModel, Network
from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.networks.structured_init import StructuredInit

Weights = list[NDArray[Any]]
ROWS = 512  # of a dense kernel, computed at a time


def build(settings: StructuredInit, task: parts.Task) -> keras.Model:
    """Return the dense network, whose weights :func:`initialise` sets later.

    Layers are named as those of an ``mlp``.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = keras.layers.Flatten(name="flatten")(task.scaling(images))
    # All are set later: drawing millions of weights would only take time.
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros"}
    for number, units in enumerate(widths(settings, task.input_shape), start=1):
        layer = Dense(units, task.precision, name=f"dense_{number}", **options)
        x = parts.hidden(x, settings, task, number, layer, "batch")
    outputs = parts.output(x, settings, task, number + 1)
    return keras.Model(images, outputs, name="structured_init")


def widths(settings: CNN, input_shape: parts.Shape) -> list[int]:
    """Return the units of the dense layers, one for each output value of the cnn's layers."""
    height, width, _ = input_shape
    units = []
    for channels in settings.channels:
        height, width = -(-height // 2), -(-width // 2)
        units += [height * width * channels] * settings.depth
    return units + settings.hidden


def twin(settings: StructuredInit) -> CNN:
    """Return the settings of the cnn that the network is written out from."""
    shared = settings.model_dump(exclude={"name", "init_from"})
    return CNN.model_validate(shared)


def check_parent(settings: StructuredInit, name: str, theirs: Network | CustomModel) -> None:
    """Refuse a network that the dense one would not reproduce.

    Raises:
        RecipeError: saying where the two differ.
    """
    ours = twin(settings)
    if not isinstance(theirs, CNN) or theirs.name != ours.name:
        raise RecipeError(
            f"model.init_from: {name} is of the family {theirs.name}; only a cnn can be written out"
        )
    # These belong to training, not to what is computed.
    ignored = {"dropout": 0.0, "initialiser": "", "init_from": None}
    mine, its = (side.model_copy(update=ignored).model_dump() for side in (ours, theirs))
    apart = [
        f"model.{key} is {its[key]}, here {value}"
        for key, value in mine.items()
        if its[key] != value
    ]
    if apart:
        raise RecipeError(
            f"model.init_from: {name} is not the cnn that this recipe describes: its"
            f" {'; '.join(apart)}"
        )


def initialise(
    model: keras.Model, settings: StructuredInit, parent: keras.Model | None, seed: int
) -> None:
    """Set the weights of :func:`build`'s network to compute what a cnn does.

    Args:
        model: of :func:`build`.
        settings: of both.
        parent: the cnn, or ``None`` for one with the initial weights of ``seed``.
        seed: the recipe's.

    Raises:
        RecipeError: if the cnn is not the one that the settings describe.
    """
    classes = model.output.shape[-1]
    task = parts.Task(model.input.shape[1:], classes, scaling_layer("symmetric"), seed)
    known = cnn.build(twin(settings), task)
    source = parent or known
    # The statistics that images are scaled by belong to their split.
    shapes = [
        [v.shape for layer in network.layers if layer.name != "scaling" for v in layer.variables]
        for network in (source, known)
    ]
    if shapes[0] != shapes[1]:
        raise RecipeError(
            "model.init_from: that run's network is not the cnn that this recipe describes; its"
            " model.channels, kernel, depth and hidden, the images and the classes must be the same"
        )
    below = known.get_layer("scaling").output.shape[1:]
    for layer in known.layers:
        found = source.get_layer(layer.name) if layer.weights else layer
        number = layer.name.rpartition("_")[2]
        if layer.name.startswith("convolution_"):
            kernel = np.asarray(found.kernel)
            model.get_layer(f"dense_{number}").set_weights(
                [as_matrix(kernel, below, layer.strides[0])]
            )
            below = layer.output.shape[1:]
        elif layer.name.startswith("normalisation_"):
            times = model.get_layer(layer.name).gamma.shape[0] // layer.gamma.shape[0]
            spread = [np.tile(np.asarray(weight), times) for weight in found.weights]
            model.get_layer(layer.name).set_weights(spread)
        elif layer.name.startswith(("dense_", "output")):
            model.get_layer(layer.name).set_weights(found.get_weights())


def as_matrix(
    kernel: NDArray[np.float32], input_shape: tuple[int, ...], stride: int
) -> NDArray[np.float32]:
    """Return the matrix of a convolution with padding "same": its response to each input value.

    Args:
        kernel: float32 [side, side, channels, filters].
        input_shape: height, width and channels of its input.
        stride: in both directions.

    Returns:
        float32 [height · width · channels, values of the result], mostly zeros.
    """
    size = int(np.prod(input_shape))
    rows = []
    for start in range(0, size, ROWS):
        unit = np.zeros((min(ROWS, size - start), size), np.float32)
        unit[np.arange(len(unit)), start + np.arange(len(unit))] = 1
        images = jnp.asarray(unit.reshape(-1, *input_shape))
        answer = convolved(images, jnp.asarray(kernel), stride, "float32")
        rows.append(np.asarray(answer).reshape(len(unit), -1))
    return np.concatenate(rows)
