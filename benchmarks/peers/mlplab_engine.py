"""mlplab's engine on the network of a recipe with Adam, without validation or callbacks.

Settings: ``data``, a folder of .npy files; ``batch_size``; ``precision``; ``network``, the recipe,
by default ``published``.
"""

import time
from pathlib import Path
from typing import Any

import mlplab  # isort: skip  # chooses Keras's backend
import jax.numpy as jnp
import keras
import numpy as np
from turns import say, settings, wait

from mlplab import models, recipes
from mlplab.models.layers.inputs import scaling_layer
from mlplab.optim import optimizers
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Control, Plan, TrainingData, TrainingSchedule

ASKED = {"precision": "float32", "network": "published"} | settings()
ADAM = ["optimizer.name=adam", "optimizer.learning_rate=1e-4"]


class Turn(keras.callbacks.Callback):
    """Starts an epoch when it is this contestant's turn."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        wait()
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        say(seconds=time.perf_counter() - self.begun, loss=logs["loss"])


def main() -> None:
    """Train one epoch per turn, indefinitely."""
    recipe = recipes.load(ASKED["network"], [f"training.precision={ASKED['precision']}", *ADAM])
    scaling = scaling_layer("symmetric")
    precision = recipe.training.precision
    model = models.build(recipe.model, models.Task((32, 32, 3), 10, scaling, 0, precision))
    model.compile(
        optimizer=optimizers.build(optimizers.complete(recipe.optimizer), model),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    folder = Path(ASKED["data"])
    images = np.load(folder / "x_train.npy")
    models.fit(model, recipe.model, images[:1000])
    x, y = jnp.asarray(images), jnp.asarray(np.load(folder / "y_train.npy"))
    say(ready=True, versions={"mlplab": mlplab.__version__, "keras": keras.__version__})
    fit(
        model,
        Plan(
            data=TrainingData(train=Arrays(x, y)),
            schedule=TrainingSchedule(batch_size=ASKED["batch_size"], epochs=1_000_000),
            control=Control(callbacks=[Turn()]),
        ),
    )


main()
