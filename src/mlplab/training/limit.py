"""How fast a training step could be on this machine: a bound for programs with its arithmetic.

A step multiplies matrices and updates weights; a convolution is the product of what its kernel sees
at each position with its weights. The limit is the time of the products, each at the best rate that
this machine reaches for its shape and precision in any layout, plus the bytes that the optimizer
must read and write over the memory's best rate. Both are measured on this machine, at this moment,
and do not apply to others. An algorithm with less arithmetic can be faster: that of Winograd, in
which convolutions of 3 by 3 positions in float32 are computed, has four ninths of their products.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
from jax import lax

from mlplab.models.flops import positions_of
from mlplab.models.layers.convolution import Conv2D
from mlplab.models.layers.dense import Dense, Precision
from mlplab.models.native import library
from mlplab.models.native.convolution import Form, convolved

Role = Literal["forward", "weights", "inputs"]

BURSTS = 5  # the best one counts, so that a disturbed burst does not
BURST_SECONDS = 0.03
BYTES = 4  # weights, gradients and the optimizer's moments are float32
MOST = 4096  # rows of a product that is measured, and terms of its sums
STREAM = 2**25  # float32 numbers per array of the triad: far more than a cache holds

# The axes of the two factors that are summed over. The factors are in row-major order.
LAYOUTS = {"NN": (1, 0), "NT": (1, 1), "TN": (0, 0), "TT": (0, 1)}


@dataclass(frozen=True)
class Layer:
    """A dense layer, or a convolution.

    Attributes:
        inputs: of a unit; all that a kernel sees at a position.
        units: or the channels of a convolution's result.
        precision: of the products' factors.
        trained: whether it is.
        positions: of a convolution's result, in one image.
    """

    inputs: int
    units: int
    precision: Precision = "float32"
    trained: bool = True
    positions: int = 1


@dataclass(frozen=True)
class Product:
    """A matrix product of a step, float32 [rows, columns] summed over ``depth``.

    Attributes:
        role: ``forward``, or the gradient of the layer's ``weights`` or ``inputs``.
        layer: from 1.
        precision: of the factors; sums are float32.
        seconds: the shortest time of any layout.
        layout: the fastest one: ``N`` for a factor as mathematics writes it, ``T`` for one that is
            transposed in memory; ``swapped`` if the transposed result is computed; ``C++`` for our
            own.
    """

    role: Role
    layer: int
    rows: int
    depth: int
    columns: int
    precision: Precision
    seconds: float = 0.0
    layout: str = ""

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.depth * self.columns


@dataclass(frozen=True)
class Limit:
    """The shortest possible time of a training step, as measured.

    Attributes:
        products: of one step.
        optimizer_bytes: read and written by the update of all weights.
        bandwidth: bytes per second.
    """

    products: tuple[Product, ...]
    optimizer_bytes: int
    bandwidth: float

    @property
    def products_seconds(self) -> float:
        """Seconds of a step's products."""
        return sum(product.seconds for product in self.products)

    @property
    def optimizer_seconds(self) -> float:
        """Seconds of a step's update of the weights."""
        return self.optimizer_bytes / self.bandwidth

    @property
    def seconds(self) -> float:
        """Seconds of a step."""
        return self.products_seconds + self.optimizer_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the parts and their sums as JSON-able tables."""
        return {
            "products": [
                asdict(product) | {"gflops": product.flops / product.seconds / 1e9}
                for product in self.products
            ],
            "products_seconds": self.products_seconds,
            "optimizer_bytes": self.optimizer_bytes,
            "bandwidth": self.bandwidth,
            "optimizer_seconds": self.optimizer_seconds,
            "seconds": self.seconds,
        }


def measure(layers: Sequence[Layer], batch: int, weights: int, slots: int) -> Limit:
    """Measure the limit of a training step; takes some seconds.

    Args:
        layers: dense layers and convolutions, from the first.
        batch: images per step.
        weights: number of trained weights.
        slots: numbers that the optimizer keeps in addition; two for each weight with Adam.

    Returns:
        The limit: products of the forward pass, of the gradients of all trained weights, and of
        the gradients of the inputs of each layer after such a layer; and :func:`optimizer_bytes`
        over :func:`bandwidth`.
    """
    best: dict[tuple[Any, ...], tuple[float, str]] = {}
    timed = []
    for product in products(layers, batch):
        # Beyond this size, time grows in proportion, and so would memory.
        rows, depth = min(product.rows, MOST), min(product.depth, MOST)
        shape = (rows, depth, product.columns, product.precision)
        if shape not in best:
            best[shape] = _best_layout(*shape)
        seconds, layout = best[shape]
        seconds *= product.rows * product.depth / (rows * depth)
        facts = asdict(product) | {"seconds": seconds, "layout": layout}
        timed.append(Product(**facts))
    return Limit(tuple(timed), optimizer_bytes(weights, slots), bandwidth(weights))


def products(layers: Sequence[Layer], batch: int) -> list[Product]:
    """Return the matrix products of one training step, without their times."""
    result = []
    trained_before = False  # only then is the gradient of a layer's inputs needed
    for number, layer in enumerate(layers, start=1):
        rows = batch * layer.positions
        shapes: list[tuple[Role, int, int, int]] = [
            ("forward", rows, layer.inputs, layer.units),
            ("weights", layer.inputs, rows, layer.units),
            ("inputs", rows, layer.units, layer.inputs),
        ]
        for role, rows, depth, columns in shapes:
            needed = {"forward": True, "weights": layer.trained, "inputs": trained_before}
            if needed[role]:
                result.append(Product(role, number, rows, depth, columns, layer.precision))
        trained_before |= layer.trained
    return result


def optimizer_bytes(weights: int, slots: int) -> int:
    """Return the bytes of an update: weights and slots read and written, gradients read."""
    return BYTES * (3 * weights + 2 * slots)


def of_model(model: keras.Model, batch: int) -> Limit:
    """Measure the limit of a built and compiled model, for its dense layers and convolutions.

    The products of other layers, and of optimizers that multiply matrices themselves, are left out:
    for such a model the limit is lower than necessary.
    """
    weights = sum(variable.value.size for variable in model.trainable_variables)
    slots = sum(variable.value.size for variable in model.optimizer.variables)
    return measure(layers_of(model), batch, weights, slots)


def layers_of(model: keras.Model) -> list[Layer]:
    """Return the model's dense layers and convolutions, from the first."""
    found = []
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if counts(layer):
            *seen, units = layer.kernel.shape
            precision = layer.precision if isinstance(layer, Dense | Conv2D) else "float32"
            trained, positions = bool(layer.trainable), positions_of(layer)
            found.append(Layer(prod(seen), units, precision, trained, positions))
    return found


def counts(layer: keras.layers.Layer) -> bool:
    """Return whether the limit counts a layer's products."""
    return isinstance(layer, keras.layers.Dense | keras.layers.Conv2D)


def bandwidth(weights: int) -> float:
    """Return the most bytes per second that this machine moves to and from memory.

    The best of three: Adam's update of that many weights in place, as it is and in one loop (as
    :mod:`mlplab.training.update` does it), and a triad a = b + c · s over arrays that no cache
    holds (McCalpin's STREAM counts as here: two reads, one write).
    """
    return max(_adam_rate(weights, False), _adam_rate(weights, True), _triad_rate())


def _adam_rate(weights: int, by_one_loop: bool) -> float:
    def update(w: jax.Array, m: jax.Array, v: jax.Array, g: jax.Array) -> tuple[jax.Array, ...]:
        def moments(g: jax.Array) -> tuple[jax.Array, jax.Array]:
            return m + (g - m) * 0.1, v + (g * g - v) * 0.001

        new = moments(g)
        m1, v1 = moments(lax.optimization_barrier(g)) if by_one_loop else new  # type: ignore[no-untyped-call]
        return w - 1e-4 * m1 / (jnp.sqrt(v1) + 1e-7), *new

    step = jax.jit(update, donate_argnums=(0, 1, 2))
    gradient = jnp.full(weights, 1e-3, jnp.float32)
    state = tuple(jnp.zeros(weights, jnp.float32) for _ in range(3))

    def run(times: int) -> None:
        nonlocal state
        for _ in range(times):
            state = step(*state, gradient)
        state[0].block_until_ready()

    return optimizer_bytes(weights, 2 * weights) / _seconds(run)


def _triad_rate() -> float:
    step = jax.jit(lambda a, b, c: b + c * 3.0, donate_argnums=0, keep_unused=True)
    b, c = (jnp.full(STREAM, value, jnp.float32) for value in (1.0, 2.0))
    a = jnp.zeros(STREAM, jnp.float32)

    def run(times: int) -> None:
        nonlocal a
        for _ in range(times):
            a = step(a, b, c)
        a.block_until_ready()

    return 3 * BYTES * STREAM / _seconds(run)


def _best_layout(rows: int, depth: int, columns: int, precision: Precision) -> tuple[float, str]:
    """Return the fewest seconds of a product in any layout, and that layout."""
    times = {}
    for swapped in (False, True):
        m, n = (columns, rows) if swapped else (rows, columns)
        for layout, axes in LAYOUTS.items():
            name = f"{layout} swapped" if swapped else layout
            times[name] = _product_seconds(m, depth, n, axes, precision)
    if library.found():
        times["C++"] = _native_seconds(rows, depth, columns, precision)
    best = min(times, key=lambda name: times[name])
    return times[best], best


def _native_seconds(rows: int, depth: int, columns: int, precision: Precision) -> float:
    """Return the seconds of a product as a convolution of one position in C++."""
    form = Form(1, 1, 1, ((0, 0), (0, 0)), precision)
    x, kernel = jnp.ones((rows, 1, 1, depth)), jnp.ones((1, 1, depth, columns))
    once = jax.jit(lambda x, kernel: convolved(x, kernel, None, form))

    def run(times: int) -> None:
        for _ in range(times):
            once(x, kernel).block_until_ready()

    return _seconds(run)


def _product_seconds(
    m: int, depth: int, n: int, axes: tuple[int, int], precision: Precision
) -> float:
    a_shape = (m, depth) if axes[0] == 1 else (depth, m)
    b_shape = (depth, n) if axes[1] == 0 else (n, depth)
    a, b = (jnp.ones(shape, precision) for shape in (a_shape, b_shape))

    @jax.jit
    def repeated(a: jax.Array, b: jax.Array, times: jax.Array) -> jax.Array:
        def once(_: jax.Array, last: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            a, c = last
            # Uses the last result, or the compiler would multiply only once, before the loop.
            a = a.at[0, 0].set((c[0, 0] * 1e-6).astype(a.dtype))
            dimensions = (((axes[0],), (axes[1],)), ((), ()))
            return a, lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)

        result: jax.Array = lax.fori_loop(0, times, once, (a, jnp.zeros((m, n), jnp.float32)))[1]
        return result

    return _seconds(lambda times: repeated(a, b, jnp.int32(times)).block_until_ready())


def _seconds(run: Callable[[int], object]) -> float:
    """Return the seconds of one repetition, in the best of several bursts."""
    run(1)  # compiles
    begun = time.perf_counter()
    run(2)
    times = max(2, round(BURST_SECONDS / (time.perf_counter() - begun) * 2))
    best = float("inf")
    for _ in range(BURSTS):
        begun = time.perf_counter()
        run(times)
        best = min(best, (time.perf_counter() - begun) / times)
    return best
