"""Keras's stateless steps as compiled programs over examples on the device.

``fit`` passes a batch at a time to the device. Here all examples are on it, and Keras's loop, which
is given their positions in place of the data, hands over the positions of many batches at once.
"""

import contextlib
import itertools
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.extend.core import jaxprs_in_params
from numpy.typing import NDArray

from mlplab.drop_in.arrays import Examples
from mlplab.models.conversion import fast_layers
from mlplab.training.compilation import CPU_OPTIONS, compiled
from mlplab.training.engine import Pace
from mlplab.training.update import in_one_pass

Mode = Literal["train", "test"]
State = tuple[list[jax.Array], ...]
Outputs = Any  # logs, or predictions
OnChunk = Callable[[int, Outputs], None]

TRIED = 3  # steps by each of two ways, of which the faster is then used

# The state's parts by their names in ``model._jax_state``, where Keras's loop looks for them.
GROUPS: dict[Mode, tuple[str, ...]] = {
    "train": (
        "trainable_variables",
        "non_trainable_variables",
        "optimizer_variables",
        "metrics_variables",
    ),
    "test": ("trainable_variables", "non_trainable_variables", "metrics_variables"),
}


def nothing(done: int, outputs: Outputs) -> None:
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
        self._step = jax.jit(self._one, donate_argnums=0, compiler_options=_options())
        self._of_batch = jax.jit(self._with, donate_argnums=0, compiler_options=_options())
        self._loops: dict[tuple[Any, ...], Loop] = {}

    def fits(self, model: keras.Model) -> bool:
        """Return whether the model is compiled as it was."""
        return all(one is other for one, other in zip(self.parts, _parts(model), strict=True))

    def function(
        self, examples: Examples, at_once: int, on_chunk: OnChunk = nothing
    ) -> Callable[..., tuple[Outputs, State]]:
        """Return what Keras's loop calls in place of its own function of a step.

        Args:
            examples: to gather batches from.
            at_once: how many batches a call takes, if there are as many.
            on_chunk: called with the number of batches that were done and their logs, several
                times a second.
        """
        pace = Pace()
        left: State | None = None  # the state that Keras's loop holds since the last call

        def call(state: State, iterator: Iterator[Any]) -> tuple[Outputs, State]:
            nonlocal left
            model = self.model()
            assert model is not None
            if state is not left:
                state = unshared(state)
                self._leave(model, state)
            first = next(iterator)
            if isinstance(first, tuple):  # a callback's own batch, such as of ``test_on_batch``
                own: tuple[Outputs, State] = self._of_batch(state, first)
                return own
            if at_once == 1:
                outputs, left = self._step(state, examples.tree, first)
                return outputs, left
            batches = [first, *itertools.islice(iterator, at_once - 1)]
            outputs, done = None, 0
            for part in _rows(batches):
                start = 0
                while start < len(part):
                    # As in fit, which takes a batch before it looks whether it is to stop.
                    single = self.mode == "train" and model.stop_training
                    stop = min(len(part), start + (1 if single else pace.steps()))
                    begun = time.perf_counter()
                    outputs, state = self._chunk(state, examples.tree, part, start, stop)
                    self._leave(model, state)
                    _wait_for(outputs)
                    pace.seconds = (time.perf_counter() - begun) / (stop - start)
                    done += stop - start
                    on_chunk(done, outputs)
                    start = stop
                    if single:
                        return outputs, state
            left = state
            return outputs, state

        return call

    def of_batches(self, at_once: int) -> Callable[..., tuple[Outputs, State]]:
        """Return what Keras's loop calls, if it passes batches instead of positions.

        Args:
            at_once: how many batches a call takes, if there are as many.
        """

        def call(state: State, iterator: Iterator[Any]) -> tuple[Outputs, State]:
            state = unshared(state)
            outputs, state = self._of_batch(state, next(iterator))
            for batch in itertools.islice(iterator, at_once - 1):
                outputs, state = self._of_batch(state, batch)
            return outputs, state

        return call

    def _leave(self, model: keras.Model, state: State) -> None:
        """Leave the state where Keras's loop finds it when it is interrupted."""
        # The model's own ``__setattr__`` takes as long as a small step.
        object.__setattr__(model, "_jax_state", dict(zip(GROUPS[self.mode], state, strict=True)))

    def _chunk(
        self, state: State, tree: Any, part: Any, start: int, stop: int
    ) -> tuple[Outputs, State]:
        """Run a range of steps, as one program or step by step."""
        if len(part) == 1:
            alone: tuple[Outputs, State] = self._step(state, tree, part[0])
            return alone
        leaves, form = jax.tree.flatten((state, tree, part))
        key = (form, *((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._loops:
            program = jax.jit(self._many, donate_argnums=0)
            traced = program.trace(state, tree, part, np.int32(0), np.int32(1))
            # A convolution that XLA computes uses one thread within a loop on a CPU.
            doubtful = jax.default_backend() == "cpu" and _convolves(traced.jaxpr.jaxpr)
            self._loops[key] = Loop(compiled(traced.lower()), self._step, doubtful)
        return self._loops[key].run(state, tree, part, start, stop)

    def _with(self, state: State, batch: Any) -> tuple[Outputs, State]:
        """Compute one step, of a batch."""
        with self._ready():
            return self._after(state, batch)

    def _one(self, state: State, tree: Any, row: jax.Array) -> tuple[Outputs, State]:
        """Compute one step, of the batch at the positions in a row."""
        with self._ready():
            return self._taken(state, tree, row)

    def _many(
        self, state: State, tree: Any, order: jax.Array, start: jax.Array, stop: jax.Array
    ) -> tuple[Outputs, State]:
        """Compute steps ``start`` to ``stop`` of an order, int32 [steps, batch]."""

        def body(index: jax.Array, carry: tuple[Outputs, State]) -> tuple[Outputs, State]:
            return self._taken(carry[1], tree, order[index])

        with self._ready():
            shapes = jax.eval_shape(lambda held: self._taken(held, tree, order[0])[0], state)
            zeros = jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), shapes)
            result: tuple[Outputs, State]
            result = jax.lax.fori_loop(start, stop, body, (zeros, state))
        return result

    def _taken(self, state: State, tree: Any, row: jax.Array) -> tuple[Outputs, State]:
        batch = jax.tree.map(lambda array: array.at[row].get(mode="promise_in_bounds"), tree)
        return self._after(state, batch)

    def _after(self, state: State, batch: Any) -> tuple[Outputs, State]:
        model = self.model()
        assert model is not None
        step = model.train_step if self.mode == "train" else model.test_step
        outputs, new = step(state, batch)
        # A loop needs the same types from step to step.
        kept = [
            [after.astype(before.dtype) for after, before in zip(group, held, strict=True)]
            for group, held in zip(new, state, strict=True)
        ]
        return outputs, tuple(kept)

    def _ready(self) -> Any:
        """Return the context in which steps are traced."""
        model = self.model()
        assert model is not None
        stack = contextlib.ExitStack()
        if self.mode == "train":
            stack.enter_context(in_one_pass(model.optimizer))
        stack.enter_context(fast_layers(model))
        return stack


class Predictions:
    """The compiled predictions of a model.

    Args:
        model: built; it is not kept alive.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = weakref.ref(model)
        self._program = jax.jit(self._predictions, compiler_options=_options())

    def function(self, examples: Examples, at_once: int) -> Callable[..., tuple[Outputs, State]]:
        """Return what Keras's loop calls in place of its own ``predict_function``."""

        def call(state: State, iterator: Iterator[Any]) -> tuple[Outputs, State]:
            batches = [next(iterator), *itertools.islice(iterator, at_once - 1)]
            found = []
            for part in _rows(batches):
                stacked, state = self._program(state, examples.tree, part)
                flat = jax.tree.map(
                    lambda each: np.asarray(each).reshape(-1, *each.shape[2:]), stacked
                )
                found.append(flat)
            return jax.tree.map(lambda *each: np.concatenate(each), *found), state

        return call

    def _predictions(self, state: State, tree: Any, order: jax.Array) -> tuple[Outputs, State]:
        """Compute the predictions of an order, int32 [steps, batch]: [steps, batch, …]."""
        model = self.model()
        assert model is not None

        def body(others: Any, row: jax.Array) -> tuple[Any, Outputs]:
            batch = jax.tree.map(lambda array: array.at[row].get(mode="promise_in_bounds"), tree)
            outputs, others = model.predict_step((state[0], others), batch)
            return others, outputs

        with fast_layers(model):
            others, outputs = jax.lax.scan(body, state[1], order)
        return outputs, (state[0], others)


class Loop:
    """Many steps as one program, or one by one if that turns out to be faster.

    Args:
        program: of many steps.
        step: of a single one.
        doubtful: whether to try which of them is faster; otherwise it is the program.
    """

    def __init__(self, program: Any, step: Any, doubtful: bool) -> None:
        self.program = program
        self.step = step
        self.seconds: dict[str, list[float]] = {"program": [], "step": []}
        self.doubtful = doubtful

    def run(
        self, state: State, tree: Any, part: Any, start: int, stop: int
    ) -> tuple[Outputs, State]:
        """Take a range of steps."""
        outputs: Outputs = None
        while self.doubtful and start < stop:
            outputs, state = self._try(state, tree, part, start)
            start += 1
        if start == stop:
            return outputs, state
        if self._is_faster:
            return self._by_program(state, tree, part, start, stop)
        for row in part[start:stop]:
            outputs, state = self.step(state, tree, row)
        return outputs, state

    @property
    def _is_faster(self) -> bool:
        times = self.seconds
        return not times["step"] or min(times["program"]) <= min(times["step"][1:])

    def _try(self, state: State, tree: Any, part: Any, index: int) -> tuple[Outputs, State]:
        """Take one step, in turns by the program and alone; the first alone is also compiled."""
        times = self.seconds
        alone = len(times["step"]) <= len(times["program"])
        begun = time.perf_counter()
        if alone:
            outputs, state = self.step(state, tree, part[index])
        else:
            outputs, state = self._by_program(state, tree, part, index, index + 1)
        _wait_for(state)
        times["step" if alone else "program"].append(time.perf_counter() - begun)
        self.doubtful = len(times["step"]) <= TRIED
        return outputs, state

    def _by_program(
        self, state: State, tree: Any, part: Any, start: int, stop: int
    ) -> tuple[Outputs, State]:
        result: tuple[Outputs, State] = self.program(
            state, tree, part, np.int32(start), np.int32(stop)
        )
        return result


def unshared(state: State) -> State:
    """Return a state in which no array is there twice: donated once, it would be gone."""
    seen: set[int] = set()

    def own(array: jax.Array) -> jax.Array:
        if id(array) in seen:
            return jnp.copy(array)
        seen.add(id(array))
        return array

    return tuple([own(array) for array in group] for group in state)


def _wait_for(arrays: Any) -> None:
    jax.block_until_ready(arrays)  # type: ignore[no-untyped-call]


def _joined(stacked: jax.Array) -> NDArray[Any]:
    """Return [steps, batch, …] as [steps * batch, …]."""
    return np.asarray(stacked).reshape(-1, *stacked.shape[2:])


def _parts(model: keras.Model) -> tuple[Any, ...]:
    """Return what ``compile`` replaces."""
    return (model.optimizer, model._compile_loss, model._compile_metrics)


def _options() -> dict[str, str | bool] | None:
    return CPU_OPTIONS if jax.default_backend() == "cpu" else None


def _rows(batches: list[Any]) -> list[Any]:
    """Return batches as rows of equal length: int32 [steps, batch], and one for the remainder."""
    rows = [np.asarray(batch) for batch in batches]
    whole = [row for row in rows if len(row) == len(rows[0])]
    return [np.stack(whole), *(row[None] for row in rows[len(whole) :])]


def _convolves(jaxpr: Any) -> bool:
    """Return whether a program has a convolution, wherever in it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return True
        for inner in jaxprs_in_params(equation.params):
            if _convolves(inner):
                return True
    return False
