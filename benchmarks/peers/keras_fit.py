"""Keras's own ``fit``, on the backend given by KERAS_BACKEND.

Settings: ``data``, a folder of .npy files; ``batch_size``; ``policy``, a Keras dtype policy;
``steps_per_execution``; ``jit_compile``; ``network``, a recipe, by default ``published``.
"""

import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras_networks import network
from turns import say, settings, wait

ASKED = {
    "policy": "float32",
    "steps_per_execution": 1,
    "jit_compile": "auto",
    "network": "published",
} | settings()


class Turn(keras.callbacks.Callback):
    """Starts an epoch when it is this peer's turn, so that ``fit`` itself is set up only once."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        wait()
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        say(seconds=time.perf_counter() - self.begun, loss=logs["loss"])


def data() -> dict[str, Any]:
    """Return the arguments of ``fit`` for the data: pixels in [-1, 1], and labels."""
    images = np.load(Path(ASKED["data"]) / "x_train.npy")
    flat = ASKED["network"] == "published"
    x = (images.reshape(len(images), -1) if flat else images).astype(np.float32)
    x /= 127.5
    x -= 1
    y = np.load(Path(ASKED["data"]) / "y_train.npy")
    return {"x": x, "y": y, "batch_size": ASKED["batch_size"]}


def published() -> keras.Model:
    """Return the published network."""
    layers: list[Any] = [keras.Input((3072,))]
    for _ in range(4):
        layers += [keras.layers.Dense(1024, activation="relu"), keras.layers.Dropout(0.2)]
    # The probabilities are float32, as in Keras's guide to mixed precision.
    last = keras.layers.Dense(10, activation="softmax", dtype="float32")
    return keras.Sequential([*layers, last])


def main() -> None:
    """Train one epoch per turn, indefinitely."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(ASKED["policy"])
    model = published() if ASKED["network"] == "published" else network(ASKED["network"])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=ASKED["steps_per_execution"],
        jit_compile=ASKED["jit_compile"],
    )
    fed = data()
    package = {"jax": "jax", "tensorflow": "tensorflow-cpu"}[keras.backend.backend()]
    say(ready=True, versions={name: version(name) for name in ("keras", package)})
    model.fit(**fed, epochs=1_000_000, verbose=0, callbacks=[Turn()])


main()
