"""A model's predictions as a compiled program over examples on the device."""

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.drop_in.arrays import Examples, gathered, in_rows
from mlplab.drop_in.state import leave
from mlplab.models.conversion import fast_layers
from mlplab.training.compilation import options
from mlplab.training.steps import State


class Predictions:
    """The compiled predictions of a model.

    Args:
        model: built; it is not kept alive.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = weakref.ref(model)
        self._program = jax.jit(self._predictions, compiler_options=options())

    def function(self, examples: Examples, at_once: int) -> Callable[..., tuple[Any, State]]:
        """Return what Keras's loop calls in place of its own ``predict_function``."""

        def call(state: State, iterator: Iterator[Any]) -> tuple[Any, State]:
            # Where Keras finds it if this fails; the arrays are not donated.
            leave(self.model(), "predict", state)
            batches = [next(iterator), *itertools.islice(iterator, at_once - 1)]
            found = []
            for part in in_rows(batches):
                stacked, state = self._program(state, examples.tree, part)
                found.append(jax.tree.map(_joined, stacked))
            return jax.tree.map(lambda *each: np.concatenate(each), *found), state

        return call

    def _predictions(self, state: State, tree: Any, order: jax.Array) -> tuple[Any, State]:
        """Compute the predictions of an order, int32 [steps, batch]: [steps, batch, …]."""
        model = self.model()
        assert model is not None

        def body(others: Any, row: jax.Array) -> tuple[Any, Any]:
            outputs, others = model.predict_step((state[0], others), gathered(tree, row))
            return others, outputs

        with fast_layers(model):
            others, outputs = jax.lax.scan(body, state[1], order)
        return outputs, (state[0], others)


def _joined(stacked: jax.Array) -> NDArray[Any]:
    """Return [steps, batch, …] as [steps * batch, …]."""
    return np.asarray(stacked).reshape(-1, *stacked.shape[2:])
