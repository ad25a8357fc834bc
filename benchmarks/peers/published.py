"""The published program as it stands: Keras with its callbacks, on TensorFlow.

With the setting ``fit`` as ``mlplab``, two of its lines are changed: mlplab is imported before
Keras, and ``mlplab.fit(model, …)`` trains in place of ``model.fit(…)``. The callback for
TensorBoard is mlplab's then, which does without TensorFlow.

It validates and stops early on the test split, as published. Settings: ``data``, a folder of .npy
files; ``scratch``, a folder for TensorBoard's files; ``seed``; ``epochs``; ``until``: ``end``
(report each epoch), ``first step`` (exit there), or ``turns`` (run an epoch when asked, without
early stopping). KERAS_BACKEND=jax runs it without TensorBoard, for which Keras needs TensorFlow.
"""

import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from turns import say, settings, wait

ASKED = {"seed": 0, "epochs": 100, "until": "end", "fit": "keras"} | settings()
if ASKED["fit"] == "mlplab":
    import mlplab
# isort: split
import keras  # noqa: E402
import numpy as np  # noqa: E402


class Teller(keras.callbacks.Callback):
    """Reports each epoch. It is the last callback: an epoch ends when the others have written."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if ASKED["until"] == "turns":
            wait()
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        say(epoch=epoch + 1, at=time.time(), seconds=time.perf_counter() - self.begun, **logs)


class FirstStep(keras.callbacks.Callback):
    """Exits after one step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        say(first_step=True, at=time.time())
        os._exit(0)


def split(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in [-1, 1], float32 [n, 3072], and labels [n]."""
    images = np.load(Path(ASKED["data"]) / f"x_{name}.npy")
    pixels = images.reshape(len(images), -1).astype(np.float32)
    pixels /= 127.5
    pixels -= 1
    return pixels, np.load(Path(ASKED["data"]) / f"y_{name}.npy")


def network() -> keras.Model:
    """Return the published network, compiled."""
    layers: list[Any] = [keras.Input((3072,))]
    for _ in range(4):
        layers += [keras.layers.Dense(1024, activation="relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main() -> None:
    """Train, report, and evaluate on both splits."""
    keras.utils.set_random_seed(ASKED["seed"])
    train, test, model = split("train"), split("test"), network()
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss",
        min_delta=0.01,
        patience=ASKED["epochs"] if ASKED["until"] == "turns" else 3,
        restore_best_weights=True,
    )
    callbacks: list[keras.callbacks.Callback] = [stop]
    package, fit = "jax", keras.Model.fit
    if ASKED["fit"] == "mlplab":
        fit = mlplab.fit
        callbacks.append(mlplab.TensorBoard(ASKED["scratch"], histogram_freq=1))
    elif keras.backend.backend() == "tensorflow":
        package = "tensorflow-cpu"
        callbacks.append(keras.callbacks.TensorBoard(ASKED["scratch"], histogram_freq=1))
    callbacks.append(FirstStep() if ASKED["until"] == "first step" else Teller())
    versions = {name: version(name) for name in ("keras", package)}
    if ASKED["until"] != "first step":
        say(ready=True, versions=versions)
    begun = time.time()
    history = fit(
        model,
        *train,
        batch_size=64,
        epochs=ASKED["epochs"],
        validation_data=test,
        callbacks=callbacks,
        verbose=0,
    ).history
    ended = time.time()
    say(
        fit_begun=begun,
        fit_ended=ended,
        epochs=len(history["loss"]),
        best_epoch=stop.best_epoch + 1,
        parameters=model.count_params(),
        train_accuracy=model.evaluate(*train, verbose=0)[1],
        test_accuracy=model.evaluate(*test, verbose=0)[1],
        versions=versions,
    )


main()
