"""mlplab: train, watch and judge multilayer perceptrons.

    import mlplab

    run = mlplab.train(mlplab.recipe("quickstart", optimizer={"name": "sgd"}))
    run.metrics["test"]["accuracy"]

Importing this package loads neither Keras nor JAX; the first training does.
"""

import os

from mlplab.import_path import leave_out_current_folder

leave_out_current_folder()  # before anything that a file there could replace is imported
# isort: split
from importlib import metadata  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

# Keras reads its backend once, when it is first imported; mlplab's engine is written for JAX.
os.environ.setdefault("KERAS_BACKEND", "jax")

# XLA likewise reads its flags when JAX is first used. This one lets a CPU write several results in
# one loop over memory (see training/update.py); versions that do not know it ignore it.
if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    _FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

if TYPE_CHECKING:
    from mlplab.api import Run, load_run, recipe, resume, train, train_population

__all__ = ["Run", "load_run", "recipe", "resume", "train", "train_population"]
__version__ = metadata.version("mlplab")


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mlplab import api

        return getattr(api, name)
    raise AttributeError(f"module 'mlplab' has no attribute '{name}'")
