"""The published program as it is, under plain Keras on JAX: what accuracy does it reach by itself?

    python -m benchmarks.published --seeds 3

Nothing of mlplab but its data reader is used: a ``Sequential`` of Keras's layers, ``fit``, and
``EarlyStopping`` on the test split, as the published program does. The accuracies stand beside
those of the recipe ``seed`` in docs/results/seed.md.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

import mlplab  # chooses Keras's backend
from mlplab import data
from mlplab.config import Data
from mlplab.runs import environment

OUT = Path(__file__).parent / "results" / "published.json"


def main() -> None:
    """Train once a seed and write accuracies and times to ``results/published.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    dataset = data.load(Data(name="cifar10"))
    train, test = (
        (split.images.astype(np.float32) / 127.5 - 1, split.labels)
        for split in (dataset.train, dataset.test)
    )
    runs = []
    for seed in range(arguments.seeds):
        runs.append(_train(seed, train, test))
        print(runs[-1], flush=True)
    result = {
        "question": "the published program under plain Keras on JAX, with its TensorBoard left out",
        "command": f"python -m benchmarks.published --seeds {arguments.seeds}",
        "mlplab": mlplab.__version__,
        "device": environment.device(),
        "versions": environment.versions(),
        "runs": runs,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _train(
    seed: int, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    keras.utils.set_random_seed(seed)
    layers: list[Any] = [keras.Input((32, 32, 3)), keras.layers.Flatten()]
    for _ in range(4):
        layers += [keras.layers.Dense(1024, activation="relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", min_delta=0.01, patience=3, restore_best_weights=True
    )
    begun = time.perf_counter()
    history = model.fit(
        *train, batch_size=64, epochs=100, validation_data=test, callbacks=[stop], verbose=0
    ).history
    seconds = time.perf_counter() - begun
    return {
        "seed": seed,
        "parameters": model.count_params(),
        "epochs": len(history["loss"]),
        "best_epoch": stop.best_epoch + 1,
        "train_accuracy": model.evaluate(*train, batch_size=1000, verbose=0)[1],
        "test_accuracy": model.evaluate(*test, batch_size=1000, verbose=0)[1],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
