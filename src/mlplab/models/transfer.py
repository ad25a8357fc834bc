"""Starting from another network's weights: what fits is copied, what does not is reported."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

HEAD = "output"
Arrays = list[NDArray[Any]]


class Taken(NamedTuple):
    """What a network took over from another.

    Attributes:
        layers: names of the layers whose weights were copied, adapted ones included.
        adapted: how the adapted ones were changed, as ``"layer: what was done"``.
        fresh: layers that keep their initial weights, as ``"layer: why"``.
    """

    layers: list[str]
    adapted: list[str]
    fresh: list[str]


def take_over(
    model: keras.Model,
    source: keras.Model,
    class_names: Sequence[str],
    source_names: Sequence[str],
) -> Taken:
    """Copy the weights of the layers that another network has under the same name.

    The output layer gets the weights of the classes that both have. The first layer is adapted to
    images of another size or number of channels: its weights are images themselves, which are
    rescaled so that a constant image gives the same result.

    Args:
        model: the network to change.
        source: a trained network.
        class_names: of the model's classes.
        source_names: of the source's.
    """
    known = {layer.name: layer for layer in source.layers if layer.weights}
    ours = [layer for layer in model.layers if layer.weights]
    images = [tuple(network.input.shape[1:]) for network in (source, model)]
    first = next((layer.name for layer in ours if layer.name != "scaling"), None)
    taken = Taken([], [], [])
    for layer in ours:
        theirs = known.get(layer.name)
        if theirs is None:
            taken.fresh.append(f"{layer.name}: the other network has no such layer")
            continue
        before, wanted = theirs.get_weights(), layer.get_weights()
        done = None
        if layer.name == HEAD and list(class_names) != list(source_names):
            done = _of_classes(before, wanted, class_names, source_names)
            what = f"{len(set(class_names) & set(source_names))} classes are known"
        elif _shapes(before) == _shapes(wanted) and (layer.name != first or images[0] == images[1]):
            done, what = before, ""
        elif layer.name == first:
            done = _of_images(before, wanted, *images)
            what = "for images of {}×{}×{} from {}×{}×{}".format(*images[1], *images[0])
            if done is not None and done[0] is before[0]:  # a convolution takes any size
                what = ""
        if done is None:
            taken.fresh.append(f"{layer.name}: {_reason(before, wanted)}")
            continue
        layer.set_weights(done)
        taken.layers.append(layer.name)
        if what:
            taken.adapted.append(f"{layer.name}: {what}")
    return taken


def _shapes(arrays: Arrays) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


def _reason(before: Arrays, wanted: Arrays) -> str:
    if _shapes(before) == _shapes(wanted):
        return "none of its classes is known"
    return f"shapes {_shapes(wanted)}, but {_shapes(before)} there"


def _of_classes(
    before: Arrays, wanted: Arrays, names: Sequence[str], known: Sequence[str]
) -> Arrays | None:
    """Return the weights of an output layer with the columns of classes that are known."""
    pairs = [(names.index(name), known.index(name)) for name in names if name in known]
    sides = [[array.shape[:-1] for array in arrays] for arrays in (before, wanted)]
    if not pairs or sides[0] != sides[1]:
        return None
    mine, theirs = map(list, zip(*pairs, strict=True))
    for array, other in zip(wanted, before, strict=True):
        array[..., mine] = other[..., theirs]
    return wanted


def _of_images(
    before: Arrays, wanted: Arrays, old: tuple[int, ...], new: tuple[int, ...]
) -> Arrays | None:
    """Return the weights of a first layer for images of another shape, or ``None``."""
    kernel, goal = before[0], wanted[0]
    if _shapes(before[1:]) != _shapes(wanted[1:]) or kernel.shape[-1] != goal.shape[-1]:
        return None
    if kernel.ndim == 4 and kernel.shape[:2] == goal.shape[:2]:  # a convolution
        return [_of_channels(kernel, goal.shape[2]), *before[1:]]
    if kernel.ndim == 2 and [len(kernel), len(goal)] == [math.prod(old), math.prod(new)]:
        as_images = jnp.asarray(kernel.reshape(*old, -1))
        scaled = jax.image.resize(as_images, (*new[:2], *as_images.shape[2:]), "linear")
        scaled = np.asarray(scaled) * (old[0] * old[1] / (new[0] * new[1]))
        return [_of_channels(scaled, new[2]).reshape(goal.shape), *before[1:]]
    return None


def _of_channels(kernel: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return a kernel [height, width, channels, units] converted between grey and colour images.

    Its sum over channels is kept, since all channels of a grey image are equal.
    """
    if kernel.shape[2] == channels:
        return kernel
    total = kernel.sum(axis=2, keepdims=True)
    return np.repeat(total / channels, channels, axis=2)
