"""``mlplab.fit`` against ``keras.Model.fit`` on the same backend, and a PyTorch loop, in turns.

    python -m benchmarks.drop_in          # writes benchmarks/results/drop-in.json and .md

Each contestant trains the same network on the same arrays for the same number of epochs, after an
epoch that is not counted. PyTorch takes part where it is installed and the network is one of
those written for it below: fused Adam, batches gathered by index from tensors in memory.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlplab  # before Keras
from benchmarks.protocol import Timing, interleave

# isort: split
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.experiment import environment

RESULTS = Path(__file__).parent / "results"
ROUNDS = 5
L = keras.layers


@dataclass(frozen=True)
class Case:
    """A network and what it is trained on.

    Attributes:
        layers: returns the hidden layers, without input and output.
        shape: of an example.
        count: of examples.
        batch_size: of a step.
        epochs: in a turn, so that it takes a second or so.
        asked: least ratio of Keras's time to ours.
        hook: whether a callback has a hook on batches.
    """

    layers: Callable[[], list[Any]]
    shape: tuple[int, ...]
    count: int
    batch_size: int = 32
    epochs: int = 1
    asked: float = 1.0
    hook: bool = False


def dense(units: int, number: int, dropout: float = 0.0) -> list[Any]:
    """Return hidden dense layers with ReLU."""
    layers: list[Any] = []
    for _ in range(number):
        layers.append(L.Dense(units, activation="relu"))
        if dropout:
            layers.append(L.Dropout(dropout))
    return layers


def convolutions() -> list[Any]:
    """Return the layers of a small convolutional network."""
    return [
        L.Conv2D(32, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(64, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(64, activation="relu"),
    ]


IMAGE = (32, 32, 3)
CASES = {
    "tabular, MLP 64-64": Case(lambda: dense(64, 2), (30,), 10_000, epochs=10, asked=5.0),
    "tabular, a hook on batches": Case(
        lambda: dense(64, 2), (30,), 10_000, epochs=5, asked=1.0, hook=True
    ),
    "the published network, batch 64": Case(
        lambda: [L.Flatten(), *dense(1024, 4, 0.2)], IMAGE, 6_400, 64, asked=1.3
    ),
    "small CNN": Case(convolutions, IMAGE, 3_200, asked=1.5),
    "Conv1D": Case(
        lambda: [
            L.Conv1D(32, 5, activation="relu"),
            L.Conv1D(32, 5, activation="relu"),
            L.GlobalAveragePooling1D(),
        ],
        (64, 8),
        6_400,
        epochs=2,
    ),
    "LSTM": Case(lambda: [L.LSTM(32)], (20, 8), 6_400, epochs=3),
}


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=RESULTS / "drop-in.json")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name in arguments.cases:
        print(name, flush=True)
        found[name] = measured(CASES[name], arguments.rounds)
        print({key: round(row["ratio_median"], 2) for key, row in found[name].items()}, flush=True)
    print("four fits of an epoch", flush=True)
    found["four fits of an epoch, compiling included"] = four_fits(arguments.rounds)
    result = {"environment": environment.device(), "cases": found}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(page(found))
    print(page(found))


def network(case: Case) -> keras.Model:
    """Return the compiled Keras network of a case."""
    layers = [keras.Input(case.shape), *case.layers(), L.Dense(10, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def arrays(case: Case) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return random examples, float32 [count, …], and labels, int64 [count]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(case.count, *case.shape)).astype(np.float32)
    return x, rng.integers(0, 10, case.count)


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Time the contestants in turns."""
    x, y = arrays(case)
    works: dict[str, Callable[[], float]] = {}
    for name in ("mlplab", "Keras"):
        model = network(case)
        fit = mlplab.fit if name == "mlplab" else keras.Model.fit
        settings: dict[str, Any] = {"batch_size": case.batch_size, "verbose": 0}
        if case.hook:
            settings["callbacks"] = [
                keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
            ]
        fit(model, x, y, **settings)

        def work(fit: Any = fit, model: Any = model, settings: Any = settings) -> float:
            begun = time.perf_counter()
            fit(model, x, y, epochs=case.epochs, **settings)
            return time.perf_counter() - begun

        works[name] = work
    if find_spec("torch") and not case.hook and (loop := torch_loop(case, x, y)):
        works["PyTorch"] = loop
    timing: Timing = interleave(works, rounds)
    return timing.summary("mlplab")


def four_fits(rounds: int) -> dict[str, Any]:
    """Time four short trainings of a fresh network, from nothing compiled in this process."""
    case = CASES["tabular, MLP 64-64"]
    x, y = arrays(case)

    def work(fit: Any) -> float:
        model = network(case)
        begun = time.perf_counter()
        for _ in range(4):
            fit(model, x, y, verbose=0)
        return time.perf_counter() - begun

    works = {"mlplab": lambda: work(mlplab.fit), "Keras": lambda: work(keras.Model.fit)}
    return interleave(works, rounds).summary("mlplab")


def torch_loop(
    case: Case, x: NDArray[np.float32], y: NDArray[np.int64]
) -> Callable[[], float] | None:
    """Return PyTorch's turn; ``None`` for layers that it is not written for here."""
    import torch
    from torch import nn

    layers: list[Any] = []
    channels, side = case.shape[-1], case.shape[0]
    width = int(np.prod(case.shape))
    for layer in case.layers():
        if isinstance(layer, L.Dense):
            layers += [nn.Linear(width, layer.units), nn.ReLU()]
            width = layer.units
        elif isinstance(layer, L.Dropout):
            layers.append(nn.Dropout(layer.rate))
        elif isinstance(layer, L.Conv2D):
            layers += [nn.Conv2d(channels, layer.filters, 3), nn.ReLU()]
            channels, side = layer.filters, side - 2
        elif isinstance(layer, L.MaxPooling2D):
            layers.append(nn.MaxPool2d(2))
            side //= 2
        elif isinstance(layer, L.Flatten):
            layers.append(nn.Flatten())
            width = channels * side * side
        else:
            return None
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    if len(case.shape) == 3:
        inputs = inputs.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = nn.CrossEntropyLoss()

    def epoch() -> None:
        for rows in torch.randperm(len(inputs)).split(case.batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()

    def work() -> float:
        begun = time.perf_counter()
        for _ in range(case.epochs):
            epoch()
        return time.perf_counter() - begun

    epoch()
    return work


def page(found: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# `mlplab.fit` against `fit`",
        "",
        "Written by `python -m benchmarks.drop_in`. Seconds are medians of turns; ratios are"
        " medians of the turns' ratios to mlplab's time.",
        "",
        "| | mlplab, s | Keras on JAX | asked | PyTorch |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in found.items():
        asked = CASES[name].asked if name in CASES else 1.0
        torch = f"{rows['PyTorch']['ratio_median']:.2f}" if "PyTorch" in rows else ""
        lines.append(
            f"| {name} | {rows['mlplab']['median']:.3f} | {rows['Keras']['ratio_median']:.2f}"
            f" | ≥ {asked:g} | {torch} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
