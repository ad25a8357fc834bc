"""Convolutions: ours compared with XLA's, forward and backward, on this machine.

    python -m benchmarks.convolution         # writes benchmarks/results/convolution.md and .json

Shapes are those of the shipped recipes. Where there is a C++ compiler, ours are in C++, unless
MLPLAB_NATIVE is 0.

XLA is measured twice: called step by step from Python,
where it is fastest, and inside a loop (``lax.scan``), as in training here, where its CPU backend
takes a slow path. Each is measured in float32 and in bfloat16, and the faster one counts; which one
that is depends on the processor. Measurements are interleaved, in five rounds, and medians are
reported. The slow path is measured only once because it takes minutes.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mlplab.experiment import environment
from mlplab.models.layers.convolution import convolved

RESULTS = Path(__file__).parent / "results"
ROUNDS, INSIDE, BATCH = 5, 2, 250
PRODUCT = (4096, 1024, 1024)  # a matrix product, for comparison
# Recipe, image side, input and output channels, kernel side, stride.
SHAPES = [
    ("cnn-small", 32, 3, 48, 3, 2),
    ("cnn-small", 16, 48, 48, 3, 1),
    ("cnn-small", 16, 48, 96, 3, 2),
    ("cnn-small", 8, 96, 96, 3, 1),
    ("cnn-small", 8, 96, 192, 3, 2),
    ("cnn-small", 4, 192, 192, 3, 1),
    ("airnet-small", 31, 24, 32, 3, 1),
    ("airnet-small", 15, 32, 32, 3, 1),
    ("airnet-small", 15, 32, 64, 3, 1),
    ("airnet-small", 7, 64, 64, 3, 1),
    ("airnet-small", 7, 64, 128, 3, 1),
]


def xla(x: jax.Array, kernel: jax.Array, stride: int, dtype: Any) -> jax.Array:
    """Return XLA's own convolution."""
    form = ("NHWC", "HWIO", "NHWC")
    factors = x.astype(dtype), kernel.astype(dtype)
    result: jax.Array = lax.conv_general_dilated(
        *factors, (stride, stride), "SAME", dimension_numbers=form
    )
    return result.astype(jnp.float32)


FORMS: dict[str, Callable[..., jax.Array]] = {
    "ours float32": partial(convolved, precision="float32"),
    "ours bfloat16": partial(convolved, precision="bfloat16"),
    "XLA float32": partial(xla, dtype=jnp.float32),
    "XLA bfloat16": partial(xla, dtype=jnp.bfloat16),
}


def programs(form: Callable[..., jax.Array], stride: int, first: bool) -> dict[str, Any]:
    """Return programs of a step, alone and in a loop; a first layer needs no input gradient."""

    def step(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return jnp.square(form(x, kernel, stride=stride)).mean()

        if first:
            return x, jax.grad(loss, argnums=1)(x, kernel)
        by_image, by_kernel = jax.grad(loss, argnums=(0, 1))(x, kernel)
        return by_image, by_kernel

    def loop(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        def body(state: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, None]:
            changes = step(*state)
            return jax.tree.map(lambda a, b: a - 1e-6 * b, state, changes), None

        return lax.scan(body, (x, kernel), None, length=INSIDE)[0]

    return {"alone": jax.jit(step), "in a loop": jax.jit(loop)}


def measured(shape: tuple[str, int, int, int, int, int]) -> dict[str, Any]:
    """Return GFLOP/s by form and setting, and a description of the shape."""
    recipe, side, channels, filters, kernel_side, stride = shape
    x = jax.random.normal(jax.random.key(0), (BATCH, side, side, channels))
    kernel = jax.random.normal(jax.random.key(1), (kernel_side, kernel_side, channels, filters))
    first = channels == 3
    results = -(-side // stride)
    flops = 2 * BATCH * results**2 * kernel.size * (2 if first else 3)
    ready = {
        (name, setting): program.lower(x, kernel).compile()
        for name, form in FORMS.items()
        for setting, program in programs(form, stride, first).items()
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in ready}
    for turn in range(ROUNDS + 1):  # the first turn is a warm-up
        for key, program in ready.items():
            slow = key[0].startswith("XLA") and key[1] == "in a loop"
            if slow and turn != 1:
                continue
            steps = INSIDE if key[1] == "in a loop" else 1
            seconds = timed(program, x, kernel) / steps
            if turn:
                times[key].append(seconds)
    rates = {
        f"{name}, {setting}": flops / statistics.median(seconds) / 1e9
        for (name, setting), seconds in times.items()
    }
    said = f"{side}×{side}×{channels} → {filters}, {kernel_side}×{kernel_side}, stride {stride}"
    return {"recipe": recipe, "shape": said, "flops": flops, "rates": rates}


def timed(program: Callable[..., Any], *arrays: jax.Array) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    for array in jax.tree.leaves(program(*arrays)):
        array.block_until_ready()
    return time.perf_counter() - begun


def product() -> float:
    """Return the GFLOP/s of a matrix product in float32."""
    rows, depth, columns = PRODUCT
    factors = jnp.ones((rows, depth)), jnp.ones((depth, columns))
    program = jax.jit(jnp.matmul).lower(*factors).compile()
    seconds = [timed(program, *factors) for _ in range(2 * ROUNDS)]
    return 2 * rows * depth * columns / statistics.median(seconds) / 1e9


def main() -> None:
    """Measure all shapes and write the results."""
    rows, products = [], []
    for shape in SHAPES:
        products.append(product())
        rows.append(measured(shape))
        print(rows[-1]["shape"], {key: round(rate) for key, rate in rows[-1]["rates"].items()})
    limit = statistics.median(products)
    (RESULTS / "convolution.json").write_text(
        json.dumps({"device": environment.device(), "product": limit, "shapes": rows}, indent=1)
    )
    (RESULTS / "convolution.md").write_text(table(rows, limit))


def table(rows: list[dict[str, Any]], limit: float) -> str:
    """Return the page: rates per shape, and ratios over all shapes of a recipe."""
    device = environment.device()
    lines = [
        "# Convolutions: ours and XLA's",
        "",
        f"GFLOP/s, forward and backward together, batch {BATCH}, on {device['name']} with"
        f" {device['threads']} threads, JAX {jax.__version__}: `python -m benchmarks.convolution`."
        f" A matrix product of {' × '.join(map(str, PRODUCT))} in float32 runs at {limit:.0f}"
        " GFLOP/s there.",
        "",
        "| recipe | shape | ours, in a loop | XLA alone | XLA in a loop |"
        " ours over XLA alone | over XLA in a loop |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    seconds: dict[str, list[float]] = {}
    for row in rows:
        rates = row["rates"]
        ours, alone, loop = (
            max(rates[f"{form} {precision}, {setting}"] for precision in ("float32", "bfloat16"))
            for form, setting in (("ours", "in a loop"), ("XLA", "alone"), ("XLA", "in a loop"))
        )
        lines.append(
            f"| {row['recipe']} | {row['shape']} | {ours:.0f} | {alone:.0f} | {loop:.1f} |"
            f" {ours / alone:.1f} | {ours / loop:.0f} |"
        )
        total = seconds.setdefault(row["recipe"], [0.0, 0.0, 0.0])
        for place, rate in enumerate((ours, alone, loop)):
            total[place] += row["flops"] / rate
    for recipe, (ours, alone, loop) in seconds.items():
        lines.append(
            f"| {recipe} | all of these, in time | | | | {alone / ours:.1f} | {loop / ours:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
