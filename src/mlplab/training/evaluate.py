"""What a trained network makes of a split."""

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.statistics import classification_metrics

BATCH = 1000


def probabilities(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the network's probabilities.

    Args:
        model: takes raw uint8 images.
        images: uint8 [n, height, width, channels].

    Returns:
        float32 [n, classes].
    """
    size = min(BATCH, max(1, len(images)))
    return np.asarray(model.predict(images, batch_size=size, verbose=0), dtype=np.float32)


def metrics(
    predicted: NDArray[np.float32], labels: NDArray[np.int32], top_k: int
) -> dict[str, Any]:
    """Return the metrics of a split: those of classification, and the cross-entropy as ``loss``.

    The loss is the mean negative log-likelihood in nats, whatever the recipe minimises, so that
    recipes can be compared; probabilities are clipped to 1e-7 as Keras does.
    """
    own = predicted[np.arange(len(labels)), labels].astype(np.float64)
    loss = float(-np.log(np.clip(own, 1e-7, 1.0)).mean())
    measured = classification_metrics(predicted, labels, top_k)
    return {**measured, "loss": loss if math.isfinite(loss) else None}
