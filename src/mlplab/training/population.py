"""Many runs of one form trained by one compiled program.

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
from mlplab.training.compilation import compiled
from mlplab.training.engine import Pace, Steps, order
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
        mode: ``map`` trains an epoch of one member after another, to the bits of a run alone;
            ``vmap`` takes each step for all members, over their stacked states, and rounds
            otherwise.
        watcher: hears of steps, and of rows as means over the members that are being trained.

    Returns:
        What was done, by member. The seconds of a row are of that member with ``map``, of all
        together with ``vmap``; those of compiling are of all.

    Raises:
        TrainingError: for a callback that listens to batches; and as ``engine.fit``.
    """
    for callback in (callback for plan in plans for callback in plan.callbacks):
        if on_batches(callback):
            raise TrainingError(f"{type(callback).__name__} listens to batches of a single run")
    for model, plan in zip(models, plans, strict=True):
        model._symbolic_build(data_batch=(plan.train.x[:1], plan.train.y[:1]))
        model.optimizer.build(model.trainable_variables)
    trainer = Stepper(models[0], "train", plans[0].class_weights, plans[0].augment)
    tester = Stepper(models[0], "test")
    books = [Bookkeeping(*member, tester) for member in zip(models, plans, strict=True)]
    everybody = range(len(models))
    steps = (_Turns if mode == "map" else _Together)(models, plans, trainer, everybody)
    compiling = 0.0
    watcher = watcher or Silent()
    for book in books:
        book.begin()
    for epoch in range(plans[0].epochs):
        going = [m for m, book in enumerate(books) if not book.over]
        if isinstance(steps, _Together) and 0 < 2 * len(going) <= len(steps.members):
            # Whoever has ended is computed along: worth another compilation where they are many.
            compiling += steps.compile_seconds
            steps = _Together(models, plans, trainer, going)
        if going:
            _epoch(epoch, {m: books[m] for m in going}, steps, watcher)
    for book in books:
        book.result.compile_seconds = compiling + steps.compile_seconds + tester.compile_seconds
    return [book.result for book in books]


def _epoch(
    epoch: int, going: dict[int, Bookkeeping], steps: "_Turns | _Together", watcher: Watcher
) -> None:
    """Train the members that are going on for an epoch, counted from 0."""
    for book in going.values():
        book.begin_epoch(epoch)
    seconds = steps.run(epoch, going, watcher)
    for m, book in going.items():
        book.end_epoch(seconds[m])
        if book.over:
            book.end()
    rows = [row for book in going.values() for row in book.result.rows[epoch:]]
    if rows:
        watcher.on_row(_mean(rows))


class _Turns:
    """Trains one member after another by the same program.

    Their states are not stacked: to cut a wide network's out of the stack and to write it back
    takes longer than many of its steps.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        plans: Sequence[Plan],
        trainer: Stepper,
        members: Sequence[int],
    ) -> None:
        assert len(members) == len(models), "who has ended costs nothing here"
        self.trainer = trainer
        self.members = [Steps(*member, trainer) for member in zip(models, plans, strict=True)]

    @property
    def compile_seconds(self) -> float:
        return self.trainer.compile_seconds

    def run(self, epoch: int, going: dict[int, Bookkeeping], watcher: Watcher) -> dict[int, float]:
        """Run an epoch's steps; return their seconds by member, compiling left out."""
        seconds = {}
        for before, (m, book) in enumerate(going.items()):

            def on_steps(
                epoch: int, done: int, total: int, logs: Row, before: int = before
            ) -> None:
                watcher.on_steps(epoch, before * total + done, len(going) * total, logs)

            seconds[m] = self.members[m].run(epoch, book, on_steps)
        return seconds


class _Together:
    """Takes each step for some members: their states are stacked, each leaf [members, ...].

    Args:
        models: of all members.
        plans: of all members.
        trainer: a stepper of the mode ``train``.
        members: the positions of those who are trained, in the order of the stack.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        plans: Sequence[Plan],
        trainer: Stepper,
        members: Sequence[int],
    ) -> None:
        self.members = list(members)
        self.models = {m: models[m] for m in self.members}
        self.plans = [plans[m] for m in self.members]
        self.trainer = trainer
        self.pace = Pace()
        self.compile_seconds = 0.0
        train = self.plans[0].train
        rows = [plan.train.rows for plan in self.plans if plan.train.rows is not None]
        self.data = Arrays(train.x, train.y, jnp.stack(rows) if rows else None)
        told = [
            own(model, plan.augment, plan.class_weights)
            for model, plan in zip(self.models.values(), self.plans, strict=True)
        ]
        self.told: Own = jax.tree.map(lambda *leaves: jnp.stack(leaves), *told)
        self.states: State = jax.tree.map(
            lambda leaf: jnp.zeros((len(self.members), *leaf.shape), leaf.dtype),
            take_state(self.models[self.members[0]], "train"),
        )
        self._compiled: dict[tuple[int, ...], Program] = {}
        self._put = jax.jit(_put, donate_argnums=0)
        self._take = jax.jit(_take)

    def run(self, epoch: int, going: dict[int, Bookkeeping], watcher: Watcher) -> dict[int, float]:
        """Run an epoch's steps; return the seconds of all for each, compiling left out."""
        orders = [batches(order(plan, epoch), plan.batch_size) for plan in self.plans]
        parts = [np.stack(part) for part in zip(*orders, strict=True)]
        total, done = sum(part.shape[1] for part in parts), 0
        begun, compiled = time.perf_counter(), self.compile_seconds
        for m in going:
            state = take_state(self.models[m], "train")
            self.states = self._put(self.states, state, self.members.index(m))
        left = list(going)
        for part, start, stop in self._ranges(parts):
            logs = dict(zip(self.members, self._chunk(part, start, stop, epoch), strict=True))
            done += stop - start
            watcher.on_steps(epoch + 1, done, total, _mean([logs[m] for m in left]))
            # Whoever ends here keeps this state; what the stack holds of it no longer counts.
            for m in [m for m in left if going[m].hear(logs[m])]:
                self._give_back(m)
                left.remove(m)
            if not left:
                break
        for m in left:
            self._give_back(m)
        seconds = time.perf_counter() - begun - (self.compile_seconds - compiled)
        return dict.fromkeys(going, seconds)

    def _give_back(self, member: int) -> None:
        state = self._take(self.states, self.members.index(member))
        put_state(self.models[member], state, "train")

    def _ranges(
        self, parts: list[NDArray[np.int32]]
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches by member, start, stop)."""
        for part in parts:
            for start, stop in self.pace.ranges(part.shape[1]):
                yield part, start, stop

    def _chunk(self, part: NDArray[np.int32], start: int, stop: int, epoch: int) -> list[Row]:
        """Run a range of steps, wait for it, and return each member's means."""
        begun, compiled = time.perf_counter(), self.compile_seconds
        numbers = (jnp.int32(start), jnp.int32(stop), jnp.int32(epoch))
        arguments = (self.states, self.data, self.told, jnp.asarray(part), *numbers)
        if part.shape not in self._compiled:
            self._compiled[part.shape] = self._compile(arguments)
        self.states, last = self._compiled[part.shape](*arguments)
        values = {key: np.asarray(value).tolist() for key, value in last.items()}
        seconds = time.perf_counter() - begun - (self.compile_seconds - compiled)
        self.pace.seconds = seconds / (stop - start)
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]

    def _compile(self, arguments: tuple[Any, ...]) -> Program:
        begun = time.perf_counter()
        program = compiled(jax.jit(self._traced, donate_argnums=0).lower(*arguments))
        self.compile_seconds += time.perf_counter() - begun
        return program

    def _traced(
        self, states: State, data: Arrays, told: Own, order: jax.Array, *numbers: jax.Array
    ) -> tuple[State, Logs]:
        def member(
            state: State, rows: jax.Array | None, its: Own, its_order: jax.Array
        ) -> tuple[State, Logs]:
            split = Arrays(data.x, data.y, rows)
            return self.trainer.steps(state, split, its, its_order, *numbers)

        result: tuple[State, Logs] = jax.vmap(member)(states, data.rows, told, order)
        return result


def _put(stacked: Any, one: Any, index: jax.Array) -> Any:
    """Return the stack with one member's leaves replaced."""
    return jax.tree.map(lambda leaf, value: leaf.at[index].set(value), stacked, one)


def _take(stacked: Any, index: jax.Array) -> Any:
    """Return one member's leaves."""
    return jax.tree.map(lambda leaf: leaf[index], stacked)


def _mean(rows: Sequence[Row]) -> Row:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
