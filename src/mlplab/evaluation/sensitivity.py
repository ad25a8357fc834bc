"""How a network's accuracy changes under what humans hardly notice: small shifts, and noise."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.augment import transforms
from mlplab.evaluation.evaluate import probabilities
from mlplab.statistics.metrics import predicted_classes

IMAGES = 500
SHIFTS = (1, 2, 4)  # pixels, each up, down, left and right
NOISES = (8, 16, 32)  # standard deviations, in levels of 255

Images = NDArray[np.uint8]


def sensitivity(model: keras.Model, images: Images, labels: NDArray[np.int32]) -> dict[str, Any]:
    """Return the accuracy on images, on shifted ones and on noisy ones.

    Args:
        model: takes raw uint8 images.
        images: uint8 [n, height, width, channels]; the first ``IMAGES`` are used.
        labels: int32 [n].

    Returns:
        ``images`` (how many), ``accuracy``, ``shifts`` (``pixels``, ``accuracy`` over the four
        directions) and ``noises`` (``deviation``, ``accuracy``).
    """
    images, labels = images[:IMAGES], labels[:IMAGES]
    found: dict[str, dict[int, list[float]]] = {"": {}, "shifts": {}, "noises": {}}
    # One after the other: all of them at once are sixteen times as many images.
    for kind, size, changed in chain([("", 0, images)], _shifted(images), _noisy(images)):
        right = predicted_classes(probabilities(model, changed)) == labels
        found[kind].setdefault(size, []).append(float(right.mean()))
    keys = {"shifts": "pixels", "noises": "deviation"}
    return {"images": len(images), "accuracy": found[""][0][0]} | {
        kind: [
            {key: size, "accuracy": float(np.mean(values))} for size, values in found[kind].items()
        ]
        for kind, key in keys.items()
    }


def _shifted(images: Images) -> Iterator[tuple[str, int, Images]]:
    for pixels in SHIFTS:
        if pixels >= min(images.shape[1:3]):
            return
        for down, right in ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)):
            moves = [jnp.full(len(images), move, jnp.int32) for move in (down, right)]
            moved = transforms.shift(jnp.asarray(images), moves[0], moves[1], pixels)
            yield "shifts", pixels, np.asarray(moved)


def _noisy(images: Images) -> Iterator[tuple[str, int, Images]]:
    noise = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    for deviation in NOISES:
        changed = np.round(images + deviation * noise).clip(0, 255)
        yield "noises", deviation, changed.astype(np.uint8)
