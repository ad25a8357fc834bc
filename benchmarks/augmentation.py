"""Augmentation: changed images in XLA and in C++, on this machine.

    python -m benchmarks.augmentation       # writes benchmarks/results/augmentation.md and .json

Milliseconds for 1,000 images of 32×32×3, their gathering from the split included, within a compiled
loop as in training. What they are compared with is the time to read and write as many bytes once.
Measurements are interleaved, and medians are reported.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlplab.augment.pipeline import Augmentation
from mlplab.experiment import environment
from mlplab.models.native import library
from mlplab.recipes.recipe import Augment

RESULTS = Path(__file__).parent / "results"
ROUNDS, STEPS, BATCH, SPLIT = 9, 10, 1000, 10_000
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "flip": {"flip": "random"},
    "flip, shift": {"flip": "random", "shift": 3},
    "flip, shift, cutout": {"flip": "random", "shift": 4, "cutout": 8},
    "crop and rotation": {"crop_resize": 0.7, "rotation": 10.0},
    "colour": {"colour": 0.3},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
}


def program(settings: dict[str, Any], in_cpp: bool, images: jax.Array, labels: jax.Array) -> Any:
    """Return a compiled loop over batches, which sums their pixels so that none is left out."""
    augment = Augmentation(Augment(**settings), 0, in_cpp)

    def loop(images: jax.Array, labels: jax.Array, order: jax.Array) -> jax.Array:
        table = augment.table(jnp.int32(0), len(images))

        def step(index: jax.Array, total: jax.Array) -> jax.Array:
            rows = order[index]
            changed, _ = augment(images[rows], labels[rows], rows, jnp.int32(0), table)
            return total + jnp.sum(changed, dtype=jnp.uint32)

        total: jax.Array = jax.lax.fori_loop(0, len(order), step, jnp.uint32(0))
        return total

    order = np.random.default_rng(0).permutation(SPLIT).astype(np.int32)
    arrays = images, labels, jnp.asarray(order.reshape(STEPS, BATCH))
    compiled = jax.jit(loop).lower(*arrays).compile()
    return lambda: compiled(*arrays).block_until_ready()


def timed(call: Any, times: int = 1) -> float:
    """Return milliseconds a call."""
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times * 1000


def main() -> None:
    """Measure and write the page."""
    if why_not := library.why_not():
        raise SystemExit(f"there is no C++ to compare with: {why_not}")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SPLIT, 32, 32, 3), dtype=np.uint8)
    images, labels = jnp.asarray(pixels), jnp.eye(10)[rng.integers(0, 10, SPLIT)]
    ready = {
        (name, where): program(settings, where == "C++", images, labels)
        for name, settings in SETTINGS.items()
        for where in ("XLA", "C++")
    }
    batch, target = pixels[:BATCH], np.empty_like(pixels[:BATCH])
    copies: list[float] = []
    found: dict[tuple[str, str], list[float]] = {key: [] for key in ready}
    for turn in range(ROUNDS + 1):  # the first turn is a warm-up
        taken = {key: timed(call) / STEPS for key, call in ready.items()}
        copying = timed(lambda: np.copyto(target, batch), 10)
        if turn:
            copies.append(copying)
            for key, value in taken.items():
                found[key].append(value)
    table = {
        name: {where: statistics.median(found[name, where]) for where in ("XLA", "C++")}
        for name in SETTINGS
    }
    result = {
        "device": environment.device(),
        "copy_ms": statistics.median(copies),
        "milliseconds": table,
    }
    (RESULTS / "augmentation.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "augmentation.md").write_text(page(result))
    print(page(result))


def page(result: dict[str, Any]) -> str:
    """Return the page of a result."""
    device = result["device"]
    lines = [
        "# Augmentation: XLA and C++",
        "",
        f"Milliseconds for 1,000 images of 32×32×3 within a compiled loop, on {device['name']} with"
        f" {device['threads']} threads, JAX {jax.__version__}: `python -m benchmarks.augmentation`."
        f" One thread copies as many bytes in {result['copy_ms']:.2f} ms. `nothing` is gathering"
        " the images and summing their pixels, which every row includes.",
        "",
        "| changed | XLA | C++ | times as fast |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, times in result["milliseconds"].items():
        ratio = times["XLA"] / times["C++"]
        lines.append(f"| {name} | {times['XLA']:.2f} | {times['C++']:.2f} | {ratio:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
