"""mlplab: train, watch and judge multilayer perceptrons.

    import mlplab

    run = mlplab.train(mlplab.recipe("quickstart", optimizer={"name": "sgd"}))
    run.metrics["test"]["accuracy"]

Importing this package loads neither Keras nor JAX; the first training does.
"""

import os
from importlib import metadata
from typing import TYPE_CHECKING, Any

# Keras reads its backend once, when it is first imported; mlplab's engine is written for JAX.
os.environ.setdefault("KERAS_BACKEND", "jax")

if TYPE_CHECKING:
    from mlplab.api import Run, load_run, recipe, train, train_population

__all__ = ["Run", "load_run", "recipe", "train", "train_population"]
__version__ = metadata.version("mlplab")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mlplab import api

        return getattr(api, name)
    raise AttributeError(f"module 'mlplab' has no attribute '{name}'")
