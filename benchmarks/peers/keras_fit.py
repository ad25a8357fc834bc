"""Keras's own ``fit``, on the backend that KERAS_BACKEND names.

Settings: ``data``, a folder of .npy files; ``batch_size``; ``policy``, a dtype policy of Keras;
``steps_per_execution``; ``jit_compile``; ``feed``: ``arrays`` (in memory, handed to ``fit``) or
``dataset`` (a tf.data pipeline over them); ``first_step``: tell the time of the first step and end.
"""

import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from turns import say, settings, wait

ASKED = {
    "policy": "float32",
    "steps_per_execution": 1,
    "jit_compile": "auto",
    "feed": "arrays",
    "first_step": False,
} | settings()


class Turn(keras.callbacks.Callback):
    """Begins an epoch when it is this peer's turn; so ``fit`` itself is set up only once."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        wait()
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        say(seconds=time.perf_counter() - self.begun, loss=logs["loss"])


class FirstStep(keras.callbacks.Callback):
    """Ends the program after one step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        say(first_step=True, at=time.time())
        os._exit(0)


def data() -> dict[str, Any]:
    """Return the arguments of ``fit`` that hand over pixels in [-1, 1] and labels."""
    images = np.load(Path(ASKED["data"]) / "x_train.npy")
    x = images.reshape(len(images), -1).astype(np.float32)
    x /= 127.5
    x -= 1
    y, batch = np.load(Path(ASKED["data"]) / "y_train.npy"), ASKED["batch_size"]
    if ASKED["feed"] == "arrays":
        return {"x": x, "y": y, "batch_size": batch}
    import tensorflow as tf

    # Whole batches are gathered at once: batching single images takes longer than training.
    pixels, labels = tf.constant(x), tf.constant(y)
    order = tf.data.Dataset.range(len(x)).shuffle(len(x)).batch(batch)
    gather = order.map(
        lambda rows: (tf.gather(pixels, rows), tf.gather(labels, rows)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return {"x": gather.prefetch(tf.data.AUTOTUNE)}


def main() -> None:
    """Train an epoch a turn, without an end."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(ASKED["policy"])
    layers: list[Any] = [keras.Input((3072,))]
    for _ in range(4):
        layers += [keras.layers.Dense(1024, activation="relu"), keras.layers.Dropout(0.2)]
    # As Keras's guide to mixed precision has it, the probabilities are float32.
    last = keras.layers.Dense(10, activation="softmax", dtype="float32")
    model = keras.Sequential([*layers, last])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=ASKED["steps_per_execution"],
        jit_compile=ASKED["jit_compile"],
    )
    fed = data()
    if not ASKED["first_step"]:
        package = {"jax": "jax", "tensorflow": "tensorflow-cpu"}[keras.backend.backend()]
        say(ready=True, versions={name: version(name) for name in ("keras", package)})
    told = FirstStep() if ASKED["first_step"] else Turn()
    model.fit(**fed, epochs=1_000_000, verbose=0, callbacks=[told])


main()
