"""Where Keras's loops look for a model's state when they end, or are interrupted."""

from typing import Literal

import keras

from mlplab.training.steps import State

WEIGHTS = ("trainable_variables", "non_trainable_variables")
GROUPS: dict[Literal["train", "test", "predict"], tuple[str, ...]] = {
    "train": (*WEIGHTS, "optimizer_variables", "metrics_variables"),
    "test": (*WEIGHTS, "metrics_variables"),
    "predict": WEIGHTS,
}


def leave(model: keras.Model, mode: Literal["train", "test", "predict"], state: State) -> None:
    """Leave the state of a loop with its model."""
    # The model's own ``__setattr__`` takes as long as a small step.
    object.__setattr__(model, "_jax_state", dict(zip(GROUPS[mode], state, strict=True)))
