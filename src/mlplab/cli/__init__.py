"""The command line: ``mlplab COMMAND``. Commands import Keras and JAX only when they need them."""

import os

from mlplab.cli import (
    compare,
    data,
    lr_find,
    output,
    recipes,
    report,
    resume,
    runs,
    study,
    tensorboard,
    train,
    ui,
    use,
)
from mlplab.cli.app import app

__all__ = [
    "app",
    "compare",
    "data",
    "lr_find",
    "main",
    "recipes",
    "report",
    "resume",
    "runs",
    "study",
    "tensorboard",
    "train",
    "ui",
    "use",
]


def main() -> None:
    """Run the command line."""
    # Whatever other programs of the user's want of Keras, ours are written for JAX.
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["KERAS_NNX_ENABLED"] = "0"
    output.print_anywhere()
    app()
