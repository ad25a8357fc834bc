"""Keras's stateless steps in one compiled function, over examples on the device.

``fit`` passes a batch at a time to the device. Here all examples are on it, and Keras's loop, which
is given their positions in place of the data, hands over the positions of many batches at once.
"""

import itertools
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from mlplab.drop_in.arrays import Examples
from mlplab.models.conversion import fast_layers
from mlplab.training.compilation import CPU_OPTIONS
from mlplab.training.engine import Pace
from mlplab.training.steps import Mode
from mlplab.training.update import in_one_pass

State = tuple[list[jax.Array], ...]
Logs = Any
OnChunk = Callable[[int, Logs], None]


def nothing(done: int, logs: Logs) -> None:
    """Hear of steps, and do nothing."""


GROUPS = {
    "train": (
        "trainable_variables",
        "non_trainable_variables",
        "optimizer_variables",
        "metrics_variables",
    ),
    "test": ("trainable_variables", "non_trainable_variables", "metrics_variables"),
}


class Program:
    """The compiled steps of a model.

    Args:
        model: compiled and built; it is not kept alive.
        mode: ``train`` or ``test``.
    """

    def __init__(self, model: keras.Model, mode: Mode) -> None:
        self.model = weakref.ref(model)
        self.mode = mode
        self.parts = _parts(model)
        options = CPU_OPTIONS if jax.default_backend() == "cpu" else None
        self._run = jax.jit(self._steps, donate_argnums=0, compiler_options=options)

    def fits(self, model: keras.Model) -> bool:
        """Return whether the model is compiled as it was."""
        return all(one is other for one, other in zip(self.parts, _parts(model), strict=True))

    def function(
        self, examples: Examples, at_once: int, on_chunk: OnChunk = nothing
    ) -> Callable[..., tuple[Logs, State]]:
        """Return what Keras's loop calls in place of its own ``train_function``.

        Args:
            examples: to gather batches from.
            at_once: how many batches a call takes, if there are as many.
            on_chunk: called with the number of batches that were done and their logs, several
                times a second.
        """
        pace = Pace()

        def call(state: State, iterator: Iterator[Any]) -> tuple[Logs, State]:
            model = self.model()
            assert model is not None
            state = unshared(state)
            self._leave(model, state)
            batches = [next(iterator), *itertools.islice(iterator, at_once - 1)]
            done, logs = 0, None
            for part in _rows(batches):
                start = 0
                while start < len(part):
                    # As in fit, which takes a batch before it looks whether it is to stop.
                    single = self.mode == "train" and model.stop_training
                    stop = min(len(part), start + (1 if single else pace.steps()))
                    begun = time.perf_counter()
                    logs, state = self._run(
                        state, examples.tree, part, np.int32(start), np.int32(stop)
                    )
                    self._leave(model, state)
                    done += stop - start
                    if len(batches) > 1:
                        jax.block_until_ready(logs)
                        pace.seconds = (time.perf_counter() - begun) / (stop - start)
                        on_chunk(done, logs)
                    start = stop
                    if single:
                        return logs, state
            return logs, state

        return call

    def _leave(self, model: keras.Model, state: State) -> None:
        """Leave the state where Keras's loop finds it when it is interrupted."""
        model._jax_state = dict(zip(GROUPS[self.mode], state, strict=True))

    def _steps(
        self, state: State, tree: Any, order: jax.Array, start: jax.Array, stop: jax.Array
    ) -> tuple[Logs, State]:
        """Compute some steps: batches of the positions in rows ``start`` to ``stop``."""
        model = self.model()
        assert model is not None
        step = model.train_step if self.mode == "train" else model.test_step

        def one(index: jax.Array, state: State) -> tuple[Logs, State]:
            batch = jax.tree.map(
                lambda array: array.at[order[index]].get(mode="promise_in_bounds"), tree
            )
            logs, new = step(state, batch)
            # The same types from step to step, as a loop needs them.
            kept = jax.tree.map(lambda after, before: after.astype(before.dtype), list(new), [*state])
            return logs, tuple(kept)

        def body(index: jax.Array, carry: tuple[Logs, State]) -> tuple[Logs, State]:
            return one(index, carry[1])

        with in_one_pass(model.optimizer), fast_layers(model):
            logs = jax.eval_shape(lambda s: one(jnp.int32(0), s)[0], state)
            zeros = jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), logs)
            return jax.lax.fori_loop(start, stop, body, (zeros, state))


def unshared(state: State) -> State:
    """Return a state in which no array is there twice: donated once, it would be gone."""
    seen: set[int] = set()

    def own(array: jax.Array) -> jax.Array:
        if id(array) in seen:
            return jnp.copy(array)
        seen.add(id(array))
        return array

    return tuple([own(array) for array in group] for group in state)


def _parts(model: keras.Model) -> tuple[Any, ...]:
    """Return what ``compile`` replaces."""
    return (model.optimizer, model._compile_loss, model._compile_metrics)


def _rows(batches: list[Any]) -> list[Any]:
    """Return batches as rows of equal length: int32 [steps, batch], and one for the remainder."""
    rows = [np.asarray(batch) for batch in batches]
    whole = [row for row in rows if len(row) == len(rows[0])]
    rest = rows[len(whole) :]
    return [np.stack(whole), *(row[None] for row in rest)]
