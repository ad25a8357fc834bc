"""Whitening: images as their principal components, each of about the same variance.

Neighbouring pixels are nearly equal, so that a few directions of pixel space carry most of the
variance and dominate the first layer's gradient. Seen by components that are scaled to like
variance, the first layer learns in all directions at once (LeCun et al. 1998, "Efficient BackProp",
section 4.3); dropping the last components makes it smaller as well.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.families import FlatNetwork

Layers = tuple[keras.layers.Layer, ...]

LAYER = "whitening"
IMAGES = 10_000  # enough for a covariance whose last components are dropped or damped


def fit(model: keras.Model, images: NDArray[np.uint8], settings: FlatNetwork) -> None:
    """Set the layer ``whitening`` of a network to the principal components of some images.

    With mean μ, eigenvalues λ (falling) and eigenvectors v of the covariance of what the layer is
    given, component k is ``vₖ·(x - μ) / sqrt(λₖ + epsilon · mean λ)``. Small components are mostly
    noise: ``whitening_epsilon`` keeps them small. In the form "zca" the components are turned back,
    ``Σ vₖ · component k``: still images, of pixels that are uncorrelated with each other.

    Args:
        model: of a family of dense layers, with a ``whitening``.
        images: uint8 [n, height, width, channels], those of the training split alone; up to
            ``IMAGES`` of them are used, evenly spaced.
        settings: of the model.
    """
    layer = model.get_layer(LAYER)
    chosen = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)
    layers = _before(model)

    # Made here, so that JAX forgets it, and the network with it, when this is done.
    @jax.jit
    def before(x: jax.Array) -> jax.Array:
        for layer in layers:
            x = layer(x)
        return x

    found = _components(before(jnp.asarray(images[chosen])))
    mean, variances, vectors = map(np.asarray, found)
    kept = settings.whitening or 0
    # Where all images are alike the mean is 0.
    damped = np.maximum(variances, 0) + settings.whitening_epsilon * (variances.mean() or 1)
    kernel = (vectors / np.sqrt(damped))[:, : -kept - 1 : -1]
    # An eigenvector's sign is arbitrary: its largest entry is made positive, on every machine.
    largest = np.take_along_axis(kernel, abs(kernel).argmax(axis=0)[None], axis=0)
    kernel = kernel * np.sign(largest)
    if settings.whitening_form == "zca":
        kernel = (vectors / np.sqrt(damped))[:, -kept:] @ vectors[:, -kept:].T
    layer.set_weights([kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)])


def _before(model: keras.Model) -> Layers:
    """Return the layers between the images and the whitening."""
    names = [layer.name for layer in model.layers]
    return tuple(model.layers[1 : names.index(LAYER)])


@jax.jit
def _components(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return mean, eigenvalues (rising) and eigenvectors [inputs, k] of float32 [n, inputs].

    By JAX: NumPy's threads would wait for those of JAX, for seconds on a machine that is busy.
    """
    mean = x.mean(axis=0)
    centred = x - mean
    variances, vectors = jnp.linalg.eigh(centred.T @ centred / len(x))
    return mean, variances, vectors
