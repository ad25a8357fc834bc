"""Which pixels of an image a prediction rests on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError

COPIES = 50
NOISE = 0.1  # standard deviation, as a share of the picture's own range


def explainer(model: keras.Model) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return a function that measures how strongly each pixel affects the log-probability.

    That is the log-probability of the predicted class. The function takes an image, uint8 [height,
    width, channels], and returns float32 [height, width], not negative: the gradient's norm over
    the channels, averaged over noisy copies of the image, without which it is mostly noise itself
    (SmoothGrad, Smilkov et al. 2017).

    Args:
        model: whose layer "scaling" takes the raw images.

    Raises:
        RunError: if the model has no such layer.
    """
    names = [layer.name for layer in model.layers]
    if "scaling" not in names:
        raise RunError(
            "--explain needs to know which layer of a network scales the pixels: name that layer"
            " 'scaling'"
        )
    scaling = model.get_layer("scaling")
    rest = keras.Model(scaling.output, model.output)

    @jax.jit
    def gradients(pictures: jax.Array, chosen: jax.Array) -> jax.Array:
        def evidence(pictures: jax.Array) -> jax.Array:
            total: jax.Array = jnp.log(rest(pictures, training=False)[:, chosen] + 1e-12).sum()
            return total

        found: jax.Array = jax.grad(evidence)(pictures)
        return found

    def explain(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        scaled = jnp.asarray(scaling(image[None].astype(np.float32)))
        chosen = rest(scaled)[0].argmax()
        spread = NOISE * (scaled.max() - scaled.min())
        noise = jax.random.normal(jax.random.key(0), (COPIES, *scaled.shape[1:]))
        found = gradients(scaled + spread * noise, chosen)
        return np.asarray(jnp.sqrt(jnp.square(found).sum(axis=-1)).mean(axis=0))

    return explain
