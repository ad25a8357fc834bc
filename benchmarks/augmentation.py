"""Augmentation: changed images in XLA and in C++, on this machine.

    python -m benchmarks.augmentation --rounds 9    # writes benchmarks/results/augmentation.*

Milliseconds for 1,000 images of 32×32×3, their gathering from the split included, within a compiled
loop as in training. What they are compared with is the time to read and write as many bytes once.
Programs take turns, each round begins with another one, and medians are reported.
"""

import json
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import race, report
from mlplab.augment.pipeline import Augmentation
from mlplab.models.native import library
from mlplab.recipes.recipe import Augment

STEPS, BATCH, SPLIT = 10, 1000, 10_000
SETTINGS: dict[str, dict[str, Any]] = {
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
    asked = race.parse(race.options(__doc__))
    if why_not := library.why_not():
        raise SystemExit(f"there is no C++ to compare with: {why_not}")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SPLIT, 32, 32, 3), dtype=np.uint8)
    images, labels = jnp.asarray(pixels), jnp.eye(10)[rng.integers(0, 10, SPLIT)]
    batch, target = pixels[:BATCH], np.empty_like(pixels[:BATCH])
    ready = {
        f"{name}, {where}": program(settings, where == "C++", images, labels)
        for name, settings in SETTINGS.items()
        for where in ("XLA", "C++")
    }
    ready["nothing changed"] = program({}, False, images, labels)
    found: dict[str, list[float]] = {name: [] for name in (*ready, "copied")}
    for turn in range(asked.rounds + 1):  # the first turn is a warm-up
        names = list(ready)
        first = turn % len(names)
        taken = {name: timed(ready[name]) / STEPS for name in names[first:] + names[:first]}
        taken["copied"] = timed(lambda: np.copyto(target, batch), 10)
        if turn:
            for name, value in taken.items():
                found[name].append(value)
    result = {
        "question": "milliseconds for 1,000 changed images, in XLA and in C++",
        **report.facts(),
        "data": "random pixels",
        "rounds": asked.rounds,
        "milliseconds": found,
    }
    (asked.out / "augmentation.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "augmentation.md").write_text(page(result))
    print(page(result))


def page(result: dict[str, Any]) -> str:
    """Return the page of a result."""
    middle = {name: statistics.median(all_) for name, all_ in result["milliseconds"].items()}
    lines = [
        *report.heading(result),
        "",
        f"1,000 images of 32×32×3 within a compiled loop. One thread copies as many bytes in"
        f" {middle['copied']:.2f} ms. Gathering images and summing their pixels, which every row"
        f" includes, takes {middle['nothing changed']:.2f} ms.",
        "",
        "| changed | XLA, ms | C++, ms | times as fast |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name in SETTINGS:
        theirs, ours = middle[f"{name}, XLA"], middle[f"{name}, C++"]
        lines.append(f"| {name} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
