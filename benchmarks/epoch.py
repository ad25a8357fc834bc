"""Seconds an epoch of the recipe ``seed``: mlplab's engine against Keras's own ``fit`` on JAX.

    make bench              # or: python -m benchmarks.epoch --rounds 5

The same network, optimizer, batch size, precision and data, without TensorBoard and validation, in
one process, in turns. mlplab's network has its own dropout, which draws its bits more cheaply; what
the engine brings by itself stands in a row of its own. ``fit`` is also measured with
``steps_per_execution``, Keras's documented way to leave Python less often. Where CIFAR-10 is not at
hand, random images of its size stand in: the arithmetic is the same.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.protocol import interleave
from mlplab import data, models, recipes
from mlplab.config import Data
from mlplab.errors import DataError
from mlplab.models import saving
from mlplab.models.inputs import scaling_layer
from mlplab.optim import optimizers
from mlplab.runs import environment
from mlplab.training.engine import Plan, fit
from mlplab.training.steps import Arrays

RESULTS = Path(__file__).parent / "results"
RECIPE = recipes.load("seed")


def main() -> None:
    """Measure, print and write ``results/epoch.json`` and ``results/epoch.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    images, labels, source = _images()
    contestants = {
        "mlplab": _mlplab(_model(), images, labels),
        "mlplab's engine with Keras's dropout": _mlplab(_model(plain=True), images, labels),
        "Keras/JAX fit": _keras(images, labels, 1),
        "Keras/JAX fit, 8 steps per execution": _keras(images, labels, 8),
    }
    for work in contestants.values():
        work()  # compiles
    timing = interleave(contestants, arguments.rounds)
    result = {
        "question": "seconds an epoch of seed (batch 64, float32), without TensorBoard",
        "command": f"python -m benchmarks.epoch --rounds {arguments.rounds}",
        "data": source,
        "device": environment.device(),
        "versions": environment.versions(),
        "rounds": len(timing.reference),
        "repeated": timing.repeated,
        "reference_gflops": timing.reference,
        "contestants": timing.summary("mlplab"),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "epoch.json").write_text(json.dumps(result, indent=1) + "\n")
    (arguments.out / "epoch.md").write_text(table(result))
    print(table(result))


def _images() -> tuple[np.ndarray, np.ndarray, str]:
    try:
        train = data.load(Data(name="cifar10")).train
    except DataError:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
        return images, rng.integers(0, 10, 50_000).astype(np.int32), "random images"
    return train.images, train.labels, "CIFAR-10"


def _model(steps_per_execution: int = 1, plain: bool = False) -> keras.Model:
    """Return the compiled network; plain, with Keras's own dropout in place of ours."""
    model = models.build(RECIPE.model, (32, 32, 3), 10, scaling_layer("symmetric"), seed=0)
    if plain:
        model = keras.models.clone_model(model, clone_function=saving.of_keras)
    model.compile(
        optimizer=optimizers.build(optimizers.complete(RECIPE.optimizer), model),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    return model


def _mlplab(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    train = Arrays(jnp.asarray(images), jnp.asarray(labels))

    def work() -> float:
        return fit(model, Plan(train=train, batch_size=64)).rows[0]["seconds"]

    return work


class _Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Times an epoch from its begin to its end, so that setting up ``fit`` is not counted."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.begun


def _keras(images: np.ndarray, labels: np.ndarray, steps: int) -> Callable[[], float]:
    model, clock = _model(steps, plain=True), _Clock()

    def work() -> float:
        model.fit(images, labels, batch_size=64, verbose=0, callbacks=[clock])
        return clock.seconds

    return work


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    device = result["device"]
    lines = [
        f"# {result['question'].capitalize()}",
        "",
        f"`{result['command']}`, on {device['name']} with {device['threads']} threads;"
        f" {result['data']}; Keras {result['versions']['keras']}, JAX {result['versions']['jax']};"
        f" {result['rounds']} interleaved rounds, {result['repeated']} repeated because the machine"
        " was slowed.",
        "",
        "| | median, s | lowest to highest, s | time over mlplab's, median (lowest to highest) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in result["contestants"].items():
        lines.append(
            f"| {name} | {row['median']:.2f} | {row['lowest']:.2f} to {row['highest']:.2f}"
            f" | {row['ratio_median']:.2f} ({row['ratio_lowest']:.2f}"
            f" to {row['ratio_highest']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
