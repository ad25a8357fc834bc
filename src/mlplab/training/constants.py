"""Numbers that Keras would write into a compiled step as constants, turned into its arguments.

They depend on a run's seed (the pixels' statistics are those of its training split) or learning
rate (a schedule starts from it). As arguments, one program serves every seed and every rate; as
constants, XLA would also compute with them in advance, and round differently.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.optim.optimizers import innermost

# The initial rate of schedules, by the names in Keras's and ours.
RATES = ("initial_learning_rate", "peak_learning_rate")


def values(model: keras.Model) -> list[jax.Array]:
    """Return the constants of a compiled model, float32, in an order that its form determines."""
    return [jnp.asarray(getattr(*place), jnp.float32) for place in _places(model)]


@contextmanager
def replaced(model: keras.Model, given: Sequence[jax.Array]) -> Iterator[None]:
    """Let the model compute with these values (usually traced) until the block ends."""
    places = _places(model)
    before = [getattr(*place) for place in places]
    try:
        for place, value in zip(places, given, strict=True):
            setattr(*place, value)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(*place, value)


def _places(model: keras.Model) -> list[tuple[Any, str]]:
    schedule = innermost(model.optimizer)._learning_rate
    found: list[tuple[Any, str]] = []
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        found += [(schedule, name) for name in RATES if hasattr(schedule, name)]
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is not None:
            found += [(layer, "mean"), (layer, "variance")]
    return found
