"""Depthwise convolutions in C++: see :mod:`mlplab.models.native.library`."""

from functools import partial

import jax

from mlplab.models.native import library
from mlplab.models.native.convolution import Form


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolved(x: jax.Array, kernel: jax.Array, form: Form) -> jax.Array:
    """Return the convolution of each channel, float32 [n, high, wide, channels].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [side, side, channels].
        form: how to convolve; its precision and what follows are not used.
    """
    shape = (len(x), form.high, form.wide, x.shape[-1])
    return library.one("mlplab_depthwise", shape, x, kernel, **form.sizes())


def _forward(
    x: jax.Array, kernel: jax.Array, form: Form
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolved(x, kernel, form), (x, kernel)


def _backward(
    form: Form, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    sizes = form.sizes()
    to_images = library.one("mlplab_depthwise_to_images", x.shape, gradient, kernel, **sizes)
    options = sizes | {"pieces": form.pieces}
    return to_images, library.one(
        "mlplab_depthwise_to_kernel", kernel.shape, gradient, x, **options
    )


convolved.defvjp(_forward, _backward)
