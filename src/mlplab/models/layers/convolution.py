"""A convolution as matrix products, which CPUs compute faster.

XLA's CPU backend multiplies matrices faster than it convolves, and it convolves even more slowly
within a loop such as a training (``python -m benchmarks.convolution`` measures both). Here the
columns under the kernel are laid side by side, for few enough images at a time to stay in the
processor's cache, with one product for each of the kernel's rows. The backward pass lays them out
again, which is faster than keeping them.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
from jax import lax

from mlplab.models.layers import pooling
from mlplab.models.layers.dense import Precision, dot, product, transposed
from mlplab.models.native import library
from mlplab.models.native.calls import name_of
from mlplab.models.native.convolution import SIDE, Form, Margin
from mlplab.models.native.convolution import convolved as in_cpp

Padding = Literal["same", "valid"]
MAXIMA = "maxima"
"""What can follow a convolution, besides an activation: the maximum of each square of four."""

FEW = 16
"""With fewer channels, products by rows would be too thin, so the whole kernel is laid out."""

LAID = 2**20
"""Bytes of images laid out at a time: the fastest of 0.5 to 16 MB, on two cores of an AMD EPYC."""


@keras.saving.register_keras_serializable(package="mlplab")
class Conv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """``keras.layers.Conv2D`` without dilation or groups, and with one more parameter.

    Args:
        filters: as in Keras.
        kernel_size: as in Keras.
        precision: of the products' factors.
        **options: as in Keras; but the default padding is "same".

    Attributes:
        then: what follows a layer without an activation of its own: an activation by name, or
            ``MAXIMA`` of squares.
    """

    # For layers that fast_layers gives this class:
    precision: Precision = "float32"
    then: str | None = None

    def __init__(
        self, filters: int, kernel_size: Any, precision: Precision = "float32", **options: Any
    ) -> None:
        super().__init__(filters, kernel_size, **{"padding": "same", **options})
        self.precision = precision

    @staticmethod
    def can_replace(layer: keras.layers.Conv2D) -> bool:
        """Return whether this class computes the same as a Keras layer."""
        plain = layer.groups == 1 and set(layer.dilation_rate) == {1}
        last = layer.data_format == "channels_last"
        return plain and last and len(set(layer.strides)) == 1 and len(set(layer.kernel_size)) == 1

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same layer."""
        return {**super().get_config(), "precision": self.precision}

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return activation(convolution + bias), float32 [n, height, width, filters]."""
        x = inputs.astype(jnp.float32)  # a network of the user's own may pass it raw pixels
        bias = None if self.bias is None else self.bias.value
        known = name_of(self.activation)
        then = self.then or known or "linear"
        how = (self.strides[0], self.precision, self.padding)
        outputs = convolved(x, self.kernel.value, *how, bias, then)
        return outputs if known else self.activation(outputs)


def convolved(
    x: jax.Array,
    kernel: jax.Array,
    stride: int,
    precision: Precision,
    padding: Padding = "same",
    bias: jax.Array | None = None,
    then: str = "linear",
) -> jax.Array:
    """Return the convolution with what follows it, float32 [n, high, wide, out].

    Args:
        x: float32 [n, height, width, channels].
        kernel: float32 [side, side, channels, out].
        stride: in both directions.
        precision: of the products' factors.
        padding: as in Keras.
        bias: float32 [out].
        then: an activation of ``ACTIVATIONS``, or ``MAXIMA``, which halve height and width.
    """
    one_pixel = kernel.shape[:2] == (1, 1) and stride == 1
    if library.found() and not one_pixel:
        around = margin(x, len(kernel), stride, padding)
        high, wide = reach(x, len(kernel), stride, around)
        pooled = then == MAXIMA
        after = "linear" if pooled else then
        form = Form(high, wide, stride, around, precision, after, pooled)
        return in_cpp(x, kernel, bias, form)
    outputs = _alone(x, kernel, stride, precision, padding)
    outputs = outputs if bias is None else outputs + bias
    if then == MAXIMA:
        return pooling.maximum(outputs, SIDE)
    result: jax.Array = keras.activations.get(then)(outputs)
    return result


def _alone(
    x: jax.Array, kernel: jax.Array, stride: int, precision: Precision, padding: Padding
) -> jax.Array:
    if jax.default_backend() == "cpu":
        if kernel.shape[:2] == (1, 1) and stride == 1:
            # A dense layer across channels, for which XLA takes far longer in pieces.
            found = product(x.reshape(-1, x.shape[-1]), kernel[0, 0], precision)
            return found.reshape(*x.shape[:-1], -1)
        return _convolved(x, kernel, stride, precision, padding)
    factors = x.astype(precision), kernel.astype(precision)
    form = ("NHWC", "HWIO", "NHWC")
    result: jax.Array = lax.conv_general_dilated(
        *factors, (stride, stride), padding.upper(), dimension_numbers=form
    )
    return result.astype(jnp.float32)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolved(
    x: jax.Array, kernel: jax.Array, stride: int, precision: Precision, padding: Padding
) -> jax.Array:
    return _forward(x, kernel, stride, precision, padding)[0]


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, precision: Precision, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    around = margin(x, len(kernel), stride, padding)
    rounded = kernel.astype(precision)
    pieces = _pieces(x, _size(x, kernel, stride))
    found = lax.map(lambda x: _product(x, rounded, stride, around), pieces)
    return _joined(found, len(x)), (x, kernel)


def _backward(
    stride: int,
    precision: Precision,
    padding: Padding,
    kept: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    side, out = len(kernel), kernel.shape[-1]
    around = margin(x, side, stride, padding)
    rounded = kernel.astype(precision)
    size = _size(x, kernel, stride)
    gradients = _pieces(gradient, size)
    parts = 1 if _few(x) else side
    laid = partial(_laid, side=side, stride=stride, around=around)

    def to_images(g: jax.Array) -> jax.Array:
        if stride == 1:  # a convolution as well
            down, right = (tuple(side - 1 - zeros for zeros in both) for both in around)
            return _product(g, rounded[::-1, ::-1].swapaxes(2, 3), 1, (down, right))
        back = jax.linear_transpose(laid, jnp.zeros((size, *x.shape[1:])))
        rows = g.astype(precision).reshape(-1, out)
        images: jax.Array
        (images,) = back([dot(rows, part, 1, 1) for part in rounded.reshape(parts, -1, out)])
        return images

    def to_kernel(total: jax.Array, piece: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        images, g = piece
        # The gradient is the narrower of the two factors, and the cheaper to transpose.
        turned = transposed(g.astype(precision).reshape(-1, out))
        found = [dot(turned, matrix.astype(precision), 1, 0) for matrix in laid(images)]
        return total + jnp.stack(found), None

    # Two loops, so that the first is removed if the gradient to the images is not needed.
    of_images = _joined(lax.map(to_images, gradients), len(x))
    start = jnp.zeros((parts, out, kernel.size // out // parts))
    of_kernel, _ = lax.scan(to_kernel, start, (_pieces(x, size), gradients))
    return of_images, of_kernel.swapaxes(1, 2).reshape(kernel.shape)


_convolved.defvjp(_forward, _backward)


def _product(x: jax.Array, kernel: jax.Array, stride: int, around: Margin) -> jax.Array:
    side, out = len(kernel), kernel.shape[-1]
    laid = _laid(x, side, stride, around)
    parts = kernel.reshape(len(laid), -1, out)
    products = [
        dot(matrix.astype(kernel.dtype), part, 1, 0)
        for matrix, part in zip(laid, parts, strict=True)
    ]
    high, wide = reach(x, side, stride, around)
    total: jax.Array = sum(products[1:], start=products[0])
    return total.reshape(len(x), high, wide, out)


def _laid(x: jax.Array, side: int, stride: int, around: Margin) -> list[jax.Array]:
    """Return what the kernel sees at each position: a matrix for each of its rows, or one for all.

    In float32 and rounded afterwards, because XLA moves float32 faster.
    """
    high, wide = reach(x, side, stride, around)
    last_row, last_column = (high - 1) * stride + 1, (wide - 1) * stride + 1
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    columns = [padded[:, :, at : at + last_column : stride] for at in range(side)]
    if _few(x):
        rows = [c[:, at : at + last_row : stride] for at in range(side) for c in columns]
        return [jnp.concatenate(rows, axis=-1).reshape(len(x) * high * wide, -1)]
    beside = jnp.concatenate(columns, axis=-1)
    rows = [beside[:, at : at + last_row : stride] for at in range(side)]
    return [row.reshape(len(x) * high * wide, -1) for row in rows]


def _few(x: jax.Array) -> bool:
    return x.shape[-1] < FEW


def margin(x: jax.Array, side: int, stride: int, padding: Padding) -> Margin:
    """Return the zeros around an image, as TensorFlow pads."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    totals = [
        max(0, (-(-length // stride) - 1) * stride + side - length) for length in x.shape[1:3]
    ]
    down, right = ((total // 2, total - total // 2) for total in totals)
    return down, right


def reach(x: jax.Array, side: int, stride: int, around: Margin) -> tuple[int, int]:
    """Return height and width of the result."""
    high, wide = (
        (length + sum(zeros) - side) // stride + 1
        for length, zeros in zip(x.shape[1:3], around, strict=True)
    )
    return high, wide


def _size(x: jax.Array, kernel: jax.Array, stride: int) -> int:
    """Return how many images are laid out at a time."""
    _, height, width, channels = x.shape
    numbers = height * -(-width // stride) * len(kernel) * channels
    return min(len(x), max(1, LAID // (4 * numbers)))


def _pieces(x: jax.Array, size: int) -> jax.Array:
    """Return [pieces, size, ...] of [n, ...], padded with zeros."""
    filled = jnp.pad(x, ((0, -len(x) % size), *((0, 0),) * (x.ndim - 1)))
    return filled.reshape(-1, size, *x.shape[1:])


def _joined(pieces: jax.Array, count: int) -> jax.Array:
    return pieces.reshape(-1, *pieces.shape[2:])[:count]
