"""A convolutional network that is fast to train: whitened patches, then few wide blocks."""

import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.models import parts, whitening
from mlplab.models.layers.convolution import Conv2D
from mlplab.models.layers.pooling import MaxPooling2D
from mlplab.recipes.networks.airnet import AirNet

PATCH = 2  # side in pixels of the patches that the first layer whitens


def build(settings: AirNet, task: parts.Task) -> keras.Model:
    """Return the network of airbench (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds").

    ``whitening``, a convolution of 2×2 pixels that is not trained:
    :func:`mlplab.models.whitening.fit_patches` sets it to give each principal component of the
    patches with both signs. Then blocks of convolutions, in which the resolution is halved after
    the first; the maximum over the remaining positions; the output without bias. Normalisation
    has no scale. Where filters initially pass on their channels, there is a path without mixing
    to the first block.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.
    """
    images = parts.images(task)
    x = task.scaling(images)
    components = PATCH**2 * task.input_shape[2]
    frozen = {"kernel_initializer": "zeros", "trainable": False, "name": "whitening"}
    x = Conv2D(2 * components, PATCH, task.precision, padding="valid", **frozen)(x)
    x = keras.layers.Activation(settings.activation, name="activation_0")(x)
    number = 0
    for filters in settings.widths:
        before = x
        for step in range(settings.convolutions):
            number += 1
            options = {"use_bias": False, "name": f"convolution_{number}"}
            convolution = parts.convolution(settings, task, number, filters, 3, **options)
            y = convolution(x)
            if settings.identity:
                pass_on(convolution)
            if not step and min(y.shape[1:3]) > 1:
                y = MaxPooling2D(2, name=f"pool_{number}")(y)
            y = keras.layers.BatchNormalization(
                momentum=0.6, epsilon=1e-12, scale=False, name=f"normalisation_{number}"
            )(y)
            if step >= 2:
                y = keras.layers.Add(name=f"sum_{number}")([before, y])
            y = keras.layers.Activation(settings.activation, name=f"activation_{number}")(y)
            x = parts.dropout(y, settings, task, number)
            if not step:
                before = x
    x = keras.layers.GlobalMaxPooling2D(name="maximum")(x)
    x = keras.layers.Rescaling(settings.output_scale, name="output_scale")(x)
    outputs = parts.output(x, settings, task, number + 1, use_bias=False)
    return keras.Model(images, outputs, name="airnet")


def fit(model: keras.Model, settings: AirNet, images: NDArray[np.uint8]) -> None:
    """Set the whitening of patches from training images."""
    whitening.fit_patches(model, images, settings.whitening_epsilon)


def pass_on(layer: Conv2D) -> None:
    """Make the first filters of a convolution return its input channels unchanged.

    There is one such filter for each channel; the others keep their random weights (in airbench by
    PyTorch's ``dirac_``; Zagoruyko & Komodakis 2017, "DiracNets").
    """
    kernel = layer.kernel.value
    side, _, channels, filters = kernel.shape
    passed = min(channels, filters)
    kernel = kernel.at[..., :passed].set(0)
    kernel = kernel.at[side // 2, side // 2, :, :passed].set(jnp.eye(channels, passed))
    layer.kernel.assign(kernel)
