"""Predictions of a trained network on a split."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.augment import transforms
from mlplab.augment.pipeline import check_shift
from mlplab.models.footprint import evaluation_batch
from mlplab.recipes.recipe import Evaluation
from mlplab.statistics.metrics import METRICS, classification_metrics

# Metrics that are recorded for probabilities averaged over views.
OVER_VIEWS = [
    *(metric.name for metric in METRICS if metric.over_views),
    "accuracy_low",
    "accuracy_high",
]
Classifier = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def check(settings: Evaluation, image_shape: Sequence[int]) -> None:
    """Refuse views for which images of this shape (height, width, channels) are too small.

    Raises:
        RecipeError: naming the key.
    """
    check_shift("evaluation.tta_shift", settings.tta_shift, image_shape)


def probabilities(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the network's probabilities.

    Args:
        model: takes raw uint8 images.
        images: uint8 [n, height, width, channels].

    Returns:
        float32 [n, classes].
    """
    size = min(evaluation_batch(model), max(1, len(images)))
    return np.asarray(model.predict(images, batch_size=size, verbose=0), dtype=np.float32)


def views(settings: Evaluation) -> NDArray[np.int32]:
    """Return the views of test-time augmentation: int32 [views, 3], the image itself first.

    A view is how far the image is shifted down and right, in pixels, and whether (0 or 1) it is
    then mirrored. The four shifts are by ``tta_shift`` up, down, left and right.
    """
    k = settings.tta_shift
    moves = [(0, 0), *([(-k, 0), (k, 0), (0, -k), (0, k)] if k else [])]
    sides = (0, 1) if settings.tta_flip else (0,)
    return np.array([(*move, side) for side in sides for move in moves], np.int32)


def over_views(model: keras.Model, settings: Evaluation) -> Classifier:
    """Return the function from images to probabilities averaged over their views.

    Test-time augmentation (Krizhevsky et al. 2012, section 4.1, there over crops and their mirror
    images). Images are shifted with reflected edges, as in training's augmentation.

    Args:
        model: takes raw uint8 images.
        settings: define the views; :func:`check` must have accepted them.

    Returns:
        A function of uint8 [n, height, width, channels] to float32 [n, classes], which compiles
        once for batches of one shape.
    """
    amounts, most = jnp.asarray(views(settings)), settings.tta_shift

    @jax.jit
    def mean(weights: Any, images: jax.Array) -> jax.Array:
        def seen(amount: jax.Array) -> jax.Array:
            down, right, side = (jnp.broadcast_to(part, len(images)) for part in amount)
            moved = transforms.flip(transforms.shift(images, down, right, most), side > 0)
            outputs: jax.Array = model.stateless_call(*weights, moved, training=False)[0]
            return outputs

        averaged: jax.Array = jax.lax.map(seen, amounts).mean(axis=0)
        return averaged

    at_once = evaluation_batch(model)
    groups = model.trainable_variables, model.non_trainable_variables

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Read every time: Keras's predict may have put other arrays in the variables.
        weights = tuple([variable.value for variable in group] for group in groups)
        size, parts = min(at_once, len(images)), []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            whole = np.pad(batch, ((0, size - len(batch)), (0, 0), (0, 0), (0, 0)))
            parts.append(np.asarray(mean(weights, whole), np.float32)[: len(batch)])
        return np.concatenate(parts)

    return classify


def metrics_over_views(
    averaged: NDArray[np.float32],
    labels: NDArray[np.int32],
    settings: Evaluation,
) -> dict[str, Any]:
    """Return a split's ``tta``: metrics of probabilities averaged over views, and the views.

    ``views`` is their number, ``flip`` and ``shift`` (pixels) say which they are.
    """
    measured = classification_metrics(averaged, labels, settings.top_k)
    said = {"views": len(views(settings)), "flip": settings.tta_flip, "shift": settings.tta_shift}
    return {key: measured[key] for key in OVER_VIEWS} | said
