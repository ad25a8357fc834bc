"""Keras's stateless steps as compiled programs over examples on the device.

``fit`` passes a batch at a time to the device. Here all examples are on it, and Keras's loop, which
is given their positions in place of the data, hands over the positions of many batches at once.
"""

import contextlib
import itertools
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np
from jax.extend.core import jaxprs_in_params

from mlplab.drop_in.arrays import Examples, gathered, in_pieces
from mlplab.drop_in.faster import Faster, wait_for
from mlplab.drop_in.interrupts import interrupts_held
from mlplab.drop_in.state import leave
from mlplab.models.conversion import fast_layers
from mlplab.training.compilation import options
from mlplab.training.engine import Pace
from mlplab.training.steps import Mode, State, repeated, unshared
from mlplab.training.update import in_one_pass

Logs = Any
OnChunk = Callable[[int, Logs], None]

PIECE = 64
"""Batches whose positions are passed to the device together, so that it need not wait for all."""


def nothing(done: int, logs: Logs) -> None:
    """Hear of steps, and do nothing."""


class Program:
    """The compiled steps of a model.

    Args:
        model: compiled and built; it is not kept alive.
        mode: whose step it takes.
    """

    def __init__(self, model: keras.Model, mode: Mode) -> None:
        self.model = weakref.ref(model)
        self.mode = mode
        self.parts = _parts(model)
        self._step = jax.jit(self._one, donate_argnums=0, compiler_options=options())
        self._of_batch = jax.jit(self._with, donate_argnums=0, compiler_options=options())
        self._loops: dict[tuple[Any, ...], Faster] = {}

    def fits(self, model: keras.Model) -> bool:
        """Return whether the model is compiled as it was."""
        return all(one is other for one, other in zip(self.parts, _parts(model), strict=True))

    def function(
        self, examples: Examples, at_once: int, on_chunk: OnChunk = nothing
    ) -> Callable[..., tuple[Logs, State]]:
        """Return what Keras's loop calls in place of its own function of a step.

        Args:
            examples: to gather batches from.
            at_once: how many batches a call takes, if there are as many.
            on_chunk: called with the number of batches that were done and their logs, several
                times a second.
        """
        one = self._one_at_a_time(examples) if at_once == 1 else None
        pace = Pace()
        left: State | None = None  # the state that Keras's loop holds since the last call

        def call(state: State, iterator: Iterator[Any]) -> tuple[Logs, State]:
            nonlocal left
            model = self.model()
            assert model is not None
            if state is not left:
                state = unshared(state)
                leave(model, self.mode, state)
            first = next(iterator)
            if isinstance(first, tuple):  # a callback's own batch, such as of ``test_on_batch``
                with interrupts_held():
                    own: tuple[Logs, State] = self._of_batch(state, first)
                    leave(model, self.mode, own[1])
                return own
            if one is not None:
                with interrupts_held():
                    logs, left = one(state, first)
                    leave(model, self.mode, left)
                return logs, left
            logs, done = None, 0
            before: tuple[Logs, int, float] | None = None  # the chunk that is being computed

            def wait() -> None:
                nonlocal before, done
                if before is not None:
                    told, steps, begun = before
                    wait_for(told)
                    # At most twice its time: when it began, the one before was still computed.
                    pace.seconds = (time.perf_counter() - begun) / steps
                    before, done = None, done + steps
                    on_chunk(done, told)

            rest = itertools.islice(iterator, at_once - 1)
            for piece, count in in_pieces(itertools.chain([first], rest), PIECE):
                start = 0
                while start < count:
                    # As in fit, which takes a batch before it looks whether it is to stop.
                    single = self.mode == "train" and model.stop_training
                    stop = min(count, start + (1 if single else pace.steps()))
                    begun = time.perf_counter()
                    with interrupts_held():
                        logs, state = self._chunk(state, examples.tree, piece, start, stop)
                        leave(model, self.mode, state)
                    # While one chunk is computed, Keras cuts the positions of the next.
                    wait()
                    before, start = (logs, stop - start, begun), stop
                    if single:
                        wait()
                        return logs, state
            wait()
            left = state
            return logs, state

        return call

    def of_batches(self, at_once: int) -> Callable[..., tuple[Logs, State]]:
        """Return what Keras's loop calls, if it passes batches instead of positions.

        Args:
            at_once: how many batches a call takes, if there are as many.
        """

        def call(state: State, iterator: Iterator[Any]) -> tuple[Logs, State]:
            model = self.model()
            assert model is not None
            state = unshared(state)
            logs: Logs = None
            rest = itertools.islice(iterator, at_once - 1)
            for batch in itertools.chain([next(iterator)], rest):
                with interrupts_held():
                    logs, state = self._of_batch(state, batch)
                    leave(model, self.mode, state)
            return logs, state

        return call

    def _one_at_a_time(self, examples: Examples) -> Callable[[State, Any], tuple[Logs, State]]:
        """Return a function of a state and positions that takes one step."""
        if jax.default_backend() != "cpu":
            return lambda state, row: self._step(state, examples.tree, row)
        # NumPy, which sees the arrays without a copy, cuts a small batch faster than XLA.
        host = jax.tree.map(np.asarray, examples.tree)
        return lambda state, row: self._of_batch(state, jax.tree.map(lambda a: a[row], host))

    def _chunk(
        self, state: State, tree: Any, part: Any, start: int, stop: int
    ) -> tuple[Logs, State]:
        """Run a range of steps, as one program or step by step."""
        if len(part) == 1:
            alone: tuple[Logs, State] = self._step(state, tree, part[0])
            return alone
        leaves, form = jax.tree.flatten((state, tree, part))
        key = (form, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._loops:
            program = jax.jit(self._many, donate_argnums=0, compiler_options=options())
            traced = program.trace(state, tree, part, np.int32(0), np.int32(1))
            # A convolution that XLA computes uses one thread within a loop on a CPU.
            doubtful = jax.default_backend() == "cpu" and _convolves(traced.jaxpr.jaxpr)
            self._loops[key] = Faster(program, self._step, doubtful)
        return self._loops[key].run(state, tree, part, start, stop)

    def _with(self, state: State, batch: Any) -> tuple[Logs, State]:
        """Compute one step, of a batch."""
        with self._ready():
            return self._after(state, batch)

    def _one(self, state: State, tree: Any, row: jax.Array) -> tuple[Logs, State]:
        """Compute one step, of the batch at the positions in a row."""
        with self._ready():
            return self._taken(state, tree, row)

    def _many(
        self, state: State, tree: Any, order: jax.Array, start: jax.Array, stop: jax.Array
    ) -> tuple[Logs, State]:
        """Compute steps ``start`` to ``stop`` of an order, int32 [steps, batch]."""

        with self._ready():
            state, logs = repeated(
                lambda index, held: self._taken(held, tree, order[index]), state, start, stop
            )
        return logs, state

    def _taken(self, state: State, tree: Any, row: jax.Array) -> tuple[Logs, State]:
        return self._after(state, gathered(tree, row))

    def _after(self, state: State, batch: Any) -> tuple[Logs, State]:
        model = self.model()
        assert model is not None
        step = model.train_step if self.mode == "train" else model.test_step
        logs, new = step(state, batch)
        # A loop needs the same types from step to step.
        kept = [
            [after.astype(before.dtype) for after, before in zip(group, held, strict=True)]
            for group, held in zip(new, state, strict=True)
        ]
        return logs, tuple(kept)

    def _ready(self) -> Any:
        """Return the context in which steps are traced."""
        model = self.model()
        assert model is not None
        stack = contextlib.ExitStack()
        if self.mode == "train":
            stack.enter_context(in_one_pass(model.optimizer))
        stack.enter_context(fast_layers(model))
        return stack


def _parts(model: keras.Model) -> tuple[Any, ...]:
    """Return what ``compile`` replaces."""
    return (model.optimizer, model._compile_loss, model._compile_metrics)


def _convolves(jaxpr: Any) -> bool:
    """Return whether a program has a convolution, wherever in it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return True
        for inner in jaxprs_in_params(equation.params):
            if _convolves(inner):
                return True
    return False
