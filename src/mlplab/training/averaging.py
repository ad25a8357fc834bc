"""The weights at which a network is evaluated, if they are not the ones that are trained."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from mlplab.optim.optimizers import averaged_weights


class AverageSwap:
    """Puts the optimizer's average into a model for validation, and the trained weights back.

    Without an average nothing is swapped.

    Args:
        model: compiled and built.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        # Variable, its trained value, the average that replaced it.
        self._swapped: list[tuple[Any, jax.Array, jax.Array]] = []

    def put_average_in(self) -> None:
        """Put the average, if the optimizer keeps one, into the weights."""
        optimizer, weights = self.model.optimizer, self.model.trainable_variables
        values = [variable.value for variable in weights]
        averages = averaged_weights(optimizer, values, [v.value for v in optimizer.variables])
        for variable, value, average in zip(weights, values, averages or [], strict=False):
            # A copy: Keras's predict and evaluate donate the weights, but the optimizer owns these.
            variable.assign(jnp.copy(average))
            self._swapped.append((variable, value, jnp.copy(average)))

    def put_trained_back(self) -> None:
        """Continue from the trained weights, except where a callback has set others."""
        for variable, value, average in self._swapped:
            if bool(jnp.array_equal(variable.value, average)):
                variable.assign(value)
        self._swapped.clear()

    def forget(self) -> None:
        """Forget the trained weights, because others are put into the model."""
        self._swapped.clear()

    def trained(self) -> list[jax.Array | None]:
        """Return, by trainable variable, the trained value that an average has replaced."""
        values = {
            id(variable): value
            for variable, value, average in self._swapped
            if bool(jnp.array_equal(variable.value, average))
        }
        return [values.get(id(variable)) for variable in self.model.trainable_variables]

    def restore(self, trained: Sequence[Any]) -> None:
        """Restore what :meth:`trained` returned; the averages are in the model."""
        self._swapped = [
            (variable, jnp.asarray(value), jnp.copy(variable.value))
            for variable, value in zip(self.model.trainable_variables, trained, strict=True)
            if value is not None
        ]
