"""Which pixels of a picture an answer rests on."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError

COPIES = 50
NOISE = 0.1  # standard deviation, as a share of the picture's own range


def saliency(model: keras.Model, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how strongly each pixel moves the logarithm of the likeliest class's probability.

    The gradient's length over the channels, averaged over noisy copies of the picture, without
    which it is mostly noise itself (SmoothGrad, Smilkov et al. 2017).

    Args:
        model: whose layer "scaling" takes the raw images.
        image: uint8 [height, width, channels].

    Returns:
        float32 [height, width], not negative.

    Raises:
        RunError: if the model has no such layer.
    """
    names = [layer.name for layer in model.layers]
    if "scaling" not in names:
        raise RunError(
            "--explain needs to know where a network's pixels become numbers: name the layer that"
            " scales them 'scaling'"
        )
    scaling = model.get_layer("scaling")
    rest = keras.Model(scaling.output, model.output)
    scaled = jnp.asarray(scaling(image[None].astype(np.float32)))
    chosen = int(np.asarray(rest(scaled))[0].argmax())

    def evidence(pictures: jax.Array) -> jax.Array:
        total: jax.Array = jnp.log(rest(pictures, training=False)[:, chosen] + 1e-12).sum()
        return total

    spread = NOISE * (scaled.max() - scaled.min())
    noise = jax.random.normal(jax.random.key(0), (COPIES, *scaled.shape[1:]))
    gradients = jax.jit(jax.grad(evidence))(scaled + spread * noise)
    return np.asarray(jnp.sqrt(jnp.square(gradients).sum(axis=-1)).mean(axis=0))
