"""Many runs of one form trained by one compiled program, over their states stacked.

The runs may differ in all that is in a state (weights, the optimizer's variables, random
generators), in the order of their images, and in what :class:`mlplab.training.steps.Own` holds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import TrainingError
from mlplab.training.bookkeeping import Bookkeeping, on_batches
from mlplab.training.engine import CHUNK_SECONDS, Pace, order
from mlplab.training.plan import Fit, Plan, Row, Silent, Watcher
from mlplab.training.steps import (
    Arrays,
    Logs,
    Own,
    State,
    Stepper,
    batches,
    own,
    put_state,
    take_state,
)

Mode = Literal["map", "vmap"]
NARROW = 128  # mean width up to which a CPU gains more by batched products than it loses in cache

Program = Callable[..., tuple[State, Logs]]


def choose_mode(widths: Sequence[int]) -> Mode:
    """Return how members are best trained here: one after another, or all in each operation.

    Args:
        widths: of the hidden layers.
    """
    narrow = sum(widths) <= NARROW * len(widths)
    return "vmap" if narrow or jax.default_backend() != "cpu" else "map"


def fit(
    models: Sequence[keras.Model],
    plans: Sequence[Plan],
    mode: Mode,
    watcher: Watcher | None = None,
) -> list[Fit]:
    """Train models of the same form as :func:`mlplab.training.engine.fit` would each of them.

    A member that ends early (its callbacks, or a loss that is not finite) keeps the weights of that
    moment; the others go on.

    Args:
        models: compiled. The first one's step is what is compiled for all.
        plans: one a model; their training splits are ``rows`` of the same arrays, equally many, or
            the same arrays in full. What they may differ in beside data: seed, class weights,
            callbacks and watcher, which hears of rows alone.
        mode: ``map`` trains a range of steps of one member after another, which gives the bits of a
            run alone; ``vmap`` takes each step for all members, which rounds otherwise.
        watcher: hears of steps and of rows, as means over the members that are being trained.

    Returns:
        What was done, by member. Times are those of all members together.

    Raises:
        TrainingError: for a callback that listens to batches; and as ``engine.fit``.
    """
    for callback in (callback for plan in plans for callback in plan.callbacks):
        if on_batches(callback):
            raise TrainingError(f"{type(callback).__name__} listens to batches of a single run")
    for model, plan in zip(models, plans, strict=True):
        model._symbolic_build(data_batch=(plan.train.x[:1], plan.train.y[:1]))
        model.optimizer.build(model.trainable_variables)
    return _Loop(models, plans, mode, watcher or Silent()).run()


class _Loop:
    """The members' trainings, epoch by epoch."""

    def __init__(
        self, models: Sequence[keras.Model], plans: Sequence[Plan], mode: Mode, watcher: Watcher
    ) -> None:
        self.models = models
        self.plans = plans
        self.watcher = watcher
        self.tester = Stepper(models[0], "test")
        self.books = [
            Bookkeeping(model, plan, self.tester) for model, plan in zip(models, plans, strict=True)
        ]
        self.stack = _Stack(models, plans, mode)
        self.pace = Pace()

    def run(self) -> list[Fit]:
        for books in self.books:
            books.begin()
        for epoch in range(self.plans[0].epochs):
            going = [m for m, books in enumerate(self.books) if not books.over]
            if not going:
                break
            for m in going:
                self.books[m].begin_epoch(epoch)
            seconds = self._steps(epoch, going)
            for m in going:
                self.books[m].end_epoch(seconds)
                if self.books[m].over:
                    self.books[m].end()
            rows = [self.books[m].result.rows[-1:] for m in going]
            if all(rows):
                self.watcher.on_row(_mean([row[0] for row in rows]))
        compiling = self.stack.compile_seconds + self.tester.compile_seconds
        for books in self.books:
            books.result.compile_seconds = compiling
        return [books.result for books in self.books]

    def _steps(self, epoch: int, going: Sequence[int]) -> float:
        """Run one epoch's steps; return their seconds, compiling left out."""
        stack, size = self.stack, self.plans[0].batch_size
        orders = [batches(order(plan, epoch), size) for plan in self.plans]
        parts = [np.stack(part) for part in zip(*orders, strict=True)]
        total, done = sum(part.shape[1] for part in parts), 0
        begun, compiled = time.perf_counter(), stack.compile_seconds
        for m in going:
            stack.put(m, take_state(self.models[m], "train"))
        left = list(going)
        self.pace.aim = CHUNK_SECONDS
        for part, start, stop in self._ranges(parts):
            logs = self._range(part, start, stop, epoch, left)
            done += stop - start
            self.watcher.on_steps(epoch + 1, done, total, _mean([logs[m] for m in left]))
            for m in [m for m in left if self.books[m].hear(logs[m])]:
                put_state(self.models[m], stack.take(m), "train")
                left.remove(m)
            if not left:
                break
        for m in left:
            put_state(self.models[m], stack.take(m), "train")
        return time.perf_counter() - begun - (stack.compile_seconds - compiled)

    def _ranges(
        self, parts: list[NDArray[np.int32]]
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches by member, start, stop)."""
        for part in parts:
            for start, stop in self.pace.ranges(part.shape[1]):
                yield part, start, stop

    def _range(
        self, part: NDArray[np.int32], start: int, stop: int, epoch: int, members: Sequence[int]
    ) -> dict[int, Row]:
        """Run a range of steps, wait for it, and return the means by member."""
        begun, compiled = time.perf_counter(), self.stack.compile_seconds
        last = self.stack.run(part, start, stop, epoch, members)
        values = {key: np.asarray(value) for key, value in last.items()}
        seconds = time.perf_counter() - begun - (self.stack.compile_seconds - compiled)
        self.pace.seconds = seconds / (stop - start)
        return {m: {key: float(value[m]) for key, value in values.items()} for m in members}


class _Stack:
    """The members' states, each leaf [members, ...], and the program that trains them."""

    def __init__(self, models: Sequence[keras.Model], plans: Sequence[Plan], mode: Mode) -> None:
        first = plans[0]
        self.mode = mode
        self.stepper = Stepper(models[0], "train", first.class_weights, first.augment)
        self.compile_seconds = 0.0
        self.size = len(models)
        told = [
            own(model, plan.augment, plan.class_weights)
            for model, plan in zip(models, plans, strict=True)
        ]
        self.told: Own = jax.tree.map(lambda *leaves: jnp.stack(leaves), *told)
        rows = [plan.train.rows for plan in plans if plan.train.rows is not None]
        self.data = Arrays(first.train.x, first.train.y, jnp.stack(rows) if rows else None)
        self.states: State = jax.tree.map(
            lambda leaf: jnp.zeros((self.size, *leaf.shape), leaf.dtype),
            take_state(models[0], "train"),
        )
        self._compiled: dict[tuple[int, ...], Program] = {}
        self._put = jax.jit(_set, donate_argnums=0)
        self._take = jax.jit(_get)

    def put(self, member: int, state: State) -> None:
        """Copy a member's state into the stack."""
        self.states = self._put(self.states, state, jnp.int32(member))

    def take(self, member: int) -> State:
        """Return a copy of a member's state."""
        state: State = self._take(self.states, jnp.int32(member))
        return state

    def run(
        self,
        order: NDArray[np.int32],
        start: int,
        stop: int,
        epoch: int,
        members: Sequence[int],
    ) -> Logs:
        """Run a range of steps as ``Stepper.run`` does, and return the last step's logs [members].

        Args:
            order: int32 [members, steps, batch], positions in each member's split.
            start: first row of the order.
            stop: the row after the last.
            epoch: from 0.
            members: those that are to be trained; of the others neither states nor logs count.
        """
        chosen = np.zeros(self.size, np.int32)
        chosen[: len(members)] = members
        numbers = (len(members), start, stop, epoch)
        arguments = (
            self.states,
            self.data,
            self.told,
            jnp.asarray(order),
            jnp.asarray(chosen),
            *map(jnp.int32, numbers),
        )
        program = self._compiled.get(order.shape)
        if program is None:
            program = self._compiled[order.shape] = self._compile(arguments)
        self.states, logs = program(*arguments)
        return logs

    def _compile(self, arguments: tuple[Any, ...]) -> Program:
        begun = time.perf_counter()
        program = self._one_by_one if self.mode == "map" else self._together
        compiled = jax.jit(program, donate_argnums=0).lower(*arguments).compile()
        self.compile_seconds += time.perf_counter() - begun
        return compiled

    def _together(
        self,
        states: State,
        data: Arrays,
        told: Own,
        order: jax.Array,
        chosen: jax.Array,
        count: jax.Array,
        *numbers: jax.Array,
    ) -> tuple[State, Logs]:
        """Take each step for all members; those that are not chosen are trained for nothing."""

        def member(
            state: State, rows: jax.Array | None, told: Own, order: jax.Array
        ) -> tuple[State, Logs]:
            return self.stepper.steps(state, Arrays(data.x, data.y, rows), told, order, *numbers)

        result: tuple[State, Logs] = jax.vmap(member)(states, data.rows, told, order)
        return result

    def _one_by_one(
        self,
        states: State,
        data: Arrays,
        told: Own,
        order: jax.Array,
        chosen: jax.Array,
        count: jax.Array,
        *numbers: jax.Array,
    ) -> tuple[State, Logs]:
        """Take the steps of one chosen member after another, each state changed in its place."""

        def member(index: jax.Array, states: State) -> tuple[State, Logs]:
            state, rows, its, rows_of = _get((states, data.rows, told, order), index)
            return self.stepper.steps(state, Arrays(data.x, data.y, rows), its, rows_of, *numbers)

        def body(position: jax.Array, carry: tuple[State, Logs]) -> tuple[State, Logs]:
            index = chosen[position]
            return _set(carry, member(index, carry[0]), index)

        logs = jax.eval_shape(lambda s: member(jnp.int32(0), s)[1], states)
        zeros = {key: jnp.zeros((self.size, *v.shape), v.dtype) for key, v in logs.items()}
        result: tuple[State, Logs] = jax.lax.fori_loop(0, count, body, (states, zeros))
        return result


def _get(stacked: Any, index: jax.Array) -> Any:
    """Return one member of a tree of arrays [members, ...]."""
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), stacked
    )


def _set(stacked: Any, one: Any, index: jax.Array) -> Any:
    """Return the tree with one member replaced."""
    return jax.tree.map(
        lambda leaf, value: jax.lax.dynamic_update_index_in_dim(leaf, value, index, 0),
        stacked,
        one,
    )


def _mean(rows: Sequence[Row]) -> Row:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
