"""Whitening: images as their principal components, each of about the same variance.

Neighbouring pixels are nearly equal, so that a few directions of pixel space carry most of the
variance and dominate the first layer's gradient. With components scaled to similar variance, the
first layer learns in all directions at once (LeCun et al. 1998, "Efficient BackProp", section 4.3);
dropping the last components makes it smaller as well.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.recipes.networks import FlatNetwork

Layers = tuple[keras.layers.Layer, ...]

LAYER = "whitening"
IMAGES = 10_000  # enough for a covariance whose last components are dropped or damped
PATCHED = 1_000  # nearly a million patches of 32×32 images


def fit(model: keras.Model, settings: FlatNetwork, images: NDArray[np.uint8]) -> None:
    """Set the layer ``whitening`` of a network to the principal components of some images.

    With mean μ, eigenvalues λ (falling) and eigenvectors v of the covariance of the layer's input,
    component k is ``vₖ·(x - μ) / sqrt(λₖ + epsilon · mean λ)``. Small components are mostly
    noise: ``whitening_epsilon`` keeps them small. In the form "zca" the components are rotated
    back, ``Σ vₖ · component k``, which gives images again, with uncorrelated pixels.

    Args:
        model: of a family of dense layers.
        settings: of the model; without a whitening nothing is done.
        images: uint8 [n, height, width, channels], only those of the training split; up to
            ``IMAGES`` of them are used, evenly spaced.
    """
    if settings.whitening is None:
        return
    mean, variances, vectors = _seen(model, images, IMAGES, lambda x: x)
    kept = settings.whitening
    # If all images are equal the mean is 0.
    damped = np.maximum(variances, 0) + settings.whitening_epsilon * (variances.mean() or 1)
    kernel = (vectors / np.sqrt(damped))[:, : -kept - 1 : -1]
    kernel = kernel * _signs(kernel)
    if settings.whitening_form == "zca":
        kernel = (vectors / np.sqrt(damped))[:, -kept:] @ vectors[:, -kept:].T
    weights = [kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)]
    model.get_layer(LAYER).set_weights(weights)


def fit_patches(model: keras.Model, images: NDArray[np.uint8], epsilon: float) -> None:
    """Set the convolution ``whitening`` of a network to the principal components of patches.

    Component k is ``vₖ·(x - μ) / sqrt(λₖ + epsilon)``, as in :func:`fit`, and after all of them
    come their negatives, so that an activation which drops one half keeps the other.

    Args:
        model: an ``airnet``.
        images: uint8 [n, height, width, channels], only those of the training split.
        epsilon: added to variances.
    """
    layer = model.get_layer(LAYER)
    side, _, channels, _ = layer.kernel.shape

    def patches(x: jax.Array) -> jax.Array:
        height, width = (length - side + 1 for length in x.shape[1:3])
        cut = [x[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
        return jnp.concatenate(cut, axis=-1).reshape(-1, side * side * channels)

    mean, variances, vectors = _seen(model, images, PATCHED, patches)
    kernel = (vectors / np.sqrt(np.maximum(variances, 0) + epsilon))[:, ::-1]
    kernel = kernel * _signs(kernel)
    kernel = np.concatenate([kernel, -kernel], axis=1)
    bias = (-mean @ kernel).astype(np.float32)
    layer.set_weights([kernel.reshape(layer.kernel.shape).astype(np.float32), bias])


def _signs(kernel: NDArray[Any]) -> NDArray[Any]:
    """Return the signs that make each column's largest entry positive, on every machine.

    An eigenvector's sign is arbitrary.
    """
    largest = abs(kernel).argmax(axis=0)[None]
    signs: NDArray[Any] = np.sign(np.take_along_axis(kernel, largest, axis=0))
    return signs


def _seen(
    model: keras.Model,
    images: NDArray[np.uint8],
    most: int,
    then: Callable[[jax.Array], jax.Array],
) -> tuple[NDArray[np.float32], ...]:
    """Return mean, eigenvalues (rising) and eigenvectors of the layer's input for some images."""
    chosen = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    layers = _before(model)

    # Defined here, so that JAX releases it, and the network with it, afterwards.
    @jax.jit
    def before(x: jax.Array) -> jax.Array:
        for layer in layers:
            x = layer(x)
        return then(x)

    return tuple(map(np.asarray, _components(before(jnp.asarray(images[chosen])))))


def _before(model: keras.Model) -> Layers:
    """Return the layers between the images and the whitening."""
    names = [layer.name for layer in model.layers]
    return tuple(model.layers[1 : names.index(LAYER)])


@jax.jit
def _components(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return mean, eigenvalues (rising) and eigenvectors [inputs, k] of float32 [n, inputs].

    With JAX: NumPy's threads would wait for those of JAX, for seconds on a busy machine.
    """
    mean = x.mean(axis=0)
    centred = x - mean
    variances, vectors = jnp.linalg.eigh(centred.T @ centred / len(x))
    return mean, variances, vectors
