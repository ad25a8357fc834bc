"""mlplab: train, watch and judge multilayer perceptrons.

    import mlplab

    run = mlplab.train(mlplab.recipe("quickstart", optimizer={"name": "sgd"}))
    run.metrics["validation"]["accuracy"]

Importing this package loads neither Keras nor JAX; the first training does.
"""

import importlib
import os

from mlplab.import_path import leave_out_current_folder

leave_out_current_folder()  # before anything that a file there could replace is imported
# isort: split
import sys  # noqa: E402
from contextlib import suppress  # noqa: E402
from importlib import metadata  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

# Keras reads its backend once, when it is first imported; mlplab's engine is written for JAX.
os.environ.setdefault("KERAS_BACKEND", "jax")

# XLA likewise reads its flags when JAX is first used. This one lets a CPU write several results in
# one loop over memory (see training/update.py); versions that do not know it ignore it.
if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    _FLAG = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()

# Matplotlib refuses to be imported with a backend that is not installed, such as Jupyter's in a
# program started from a notebook, and Keras imports it. No backend is needed for files.
if os.environ.get("MPLBACKEND"):
    try:
        import matplotlib
    except Exception:
        _BACKEND = os.environ.pop("MPLBACKEND")
        for _name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
            del sys.modules[_name]  # parts of a failed import
        with suppress(Exception):  # where it is needed, the error is shown
            import matplotlib  # noqa: F401
        os.environ["MPLBACKEND"] = _BACKEND

if TYPE_CHECKING:
    from mlplab.api import (
        Run,
        compare,
        cross_validate,
        load_run,
        lr_find,
        recipe,
        resume,
        study,
        train,
        train_population,
    )
    from mlplab.drop_in.fit import fit
    from mlplab.drop_in.judge import evaluate, predict
    from mlplab.plain.recipe_of import recipe_of
    from mlplab.tensorboard.callback import TensorBoard

__all__ = [
    "Run",
    "TensorBoard",
    "compare",
    "cross_validate",
    "data",
    "evaluate",
    "fit",
    "load_run",
    "lr_find",
    "predict",
    "recipe",
    "recipe_of",
    "resume",
    "study",
    "train",
    "train_population",
]
# What takes Keras's models is loaded with Keras.
_ROOMS = {
    "fit": "drop_in.fit",
    "evaluate": "drop_in.judge",
    "predict": "drop_in.judge",
    "recipe_of": "plain.recipe_of",
    "TensorBoard": "tensorboard.callback",
}
__version__ = metadata.version("mlplab")


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "data":  # a package that can be called
        return importlib.import_module("mlplab.data")
    if name in __all__:
        module = importlib.import_module(f"mlplab.{_ROOMS.get(name, 'api')}")
        return getattr(module, name)
    raise AttributeError(f"module 'mlplab' has no attribute '{name}'")
