"""Many runs of the same form trained by one compiled program.

The runs may differ in everything that is in a state (weights, the optimizer's variables, random
generators), in the order of their images, and in :class:`mlplab.training.steps.RunInputs`.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import TrainingError
from mlplab.training.arrays import Arrays
from mlplab.training.bookkeeping import Bookkeeping
from mlplab.training.compilation import compiled
from mlplab.training.engine import EpochRunner, Pace, order
from mlplab.training.hooks import needs_batches
from mlplab.training.plan import Fit, NoProgress, Plan, Progress, Row
from mlplab.training.steps import (
    CompiledSteps,
    Logs,
    Program,
    RunInputs,
    State,
    batches,
    put_state,
    run_inputs,
    take_state,
)

Mode = Literal["map", "vmap"]
NARROW = 128  # mean width up to which a CPU gains more from batched products than caches cost it


def choose_mode(widths: Sequence[int]) -> Mode:
    """Return how members train fastest here: one after another, or all in each operation.

    Args:
        widths: of the hidden layers.
    """
    narrow = sum(widths) <= NARROW * len(widths)
    return "vmap" if narrow or jax.default_backend() != "cpu" else "map"


def fit(
    models: Sequence[keras.Model],
    plans: Sequence[Plan],
    mode: Mode,
    progress: Progress | None = None,
) -> list[Fit]:
    """Train models of the same form as :func:`mlplab.training.engine.fit` would train each.

    A member that ends early (its callbacks, or a loss that is not finite) keeps the weights of that
    moment; the others continue.

    Args:
        models: compiled. The first one's step is compiled for all.
        plans: one per model; their training splits are ``rows`` of the same arrays, equally many,
            or the same arrays in full. Besides data they may differ in seed, class weights,
            callbacks and progress, which receives only rows.
        mode: ``map`` trains an epoch of one member after another, bit for bit like a single run;
            ``vmap`` takes each step for all members, over their stacked states, and rounds
            differently.
        progress: of steps, and of rows as means over the members that are being trained.

    Returns:
        What was done, by member. With ``map``, a row's seconds are that member's; with ``vmap``,
        those of all members together. Compile seconds are always those of all.

    Raises:
        TrainingError: for a callback with hooks on batches; and as ``engine.fit``.
    """
    for callback in (callback for plan in plans for callback in plan.control.callbacks):
        if needs_batches(callback):
            raise TrainingError(
                f"{type(callback).__name__} has hooks on the batches of a single run"
            )
    for model, plan in zip(models, plans, strict=True):
        model._symbolic_build(data_batch=(plan.data.train.x[:1], plan.data.train.y[:1]))
    first = plans[0].data
    worth_cpp = mode == "map" and plans[0].schedule.worth_cpp
    trainer = CompiledSteps(
        models[0], "train", first.class_weights, first.augment, worth_cpp=worth_cpp
    )
    tester = CompiledSteps(models[0], "test")
    books = [Bookkeeping(*member, tester) for member in zip(models, plans, strict=True)]
    steps: _Turns | _Together = (
        _Turns(models, plans, trainer)
        if mode == "map"
        else _Together(models, plans, trainer, range(len(models)))
    )
    compiling = 0.0
    progress = progress or NoProgress()
    for book in books:
        book.begin()
    for epoch in range(plans[0].schedule.epochs):
        # A callback may have set a later first epoch for one of them.
        going = [m for m, book in enumerate(books) if not book.over and book.next_epoch == epoch]
        if isinstance(steps, _Together) and 0 < 2 * len(going) <= len(steps.members):
            # Members that have ended are still computed; if they are many, compile again without.
            compiling += steps.compile_seconds
            steps = _Together(models, plans, trainer, going)
        if going:
            _epoch(epoch, {m: books[m] for m in going}, steps, progress)
    for book in books:
        book.result.compile_seconds = compiling + steps.compile_seconds + tester.compile_seconds
    return [book.result for book in books]


def _epoch(
    epoch: int, going: dict[int, Bookkeeping], steps: "_Turns | _Together", progress: Progress
) -> None:
    """Train the members that have not ended for an epoch, counted from 0."""
    for book in going.values():
        book.begin_epoch(epoch)
    seconds = steps.run(epoch, going, progress)
    for m, book in going.items():
        book.end_epoch(seconds[m])
        if book.over:
            book.end()
    rows = [row for book in going.values() for row in book.result.rows if row["epoch"] == epoch + 1]
    if rows:
        progress.on_row(_mean(rows))


class _Turns:
    """Trains one member after another with the same program.

    Their states are not stacked: taking a wide network's out of the stack and writing it back
    takes longer than many of its steps.
    """

    def __init__(
        self, models: Sequence[keras.Model], plans: Sequence[Plan], trainer: CompiledSteps
    ) -> None:
        self.trainer = trainer
        self.members = [EpochRunner(*member, trainer) for member in zip(models, plans, strict=True)]

    @property
    def compile_seconds(self) -> float:
        return self.trainer.compile_seconds

    def run(
        self, epoch: int, going: dict[int, Bookkeeping], progress: Progress
    ) -> dict[int, float]:
        """Run an epoch's steps; return their seconds by member, without compiling."""
        seconds = {}
        for before, (m, book) in enumerate(going.items()):

            def on_steps(
                epoch: int, done: int, total: int, logs: Row, before: int = before
            ) -> None:
                progress.on_steps(epoch, before * total + done, len(going) * total, logs)

            seconds[m] = self.members[m].run(epoch, book, on_steps)
        return seconds


class _Together:
    """Takes each step for some members: their states are stacked, each leaf [members, ...].

    Args:
        models: of all members.
        plans: of all members.
        trainer: compiled steps of the mode ``train``.
        members: the positions of those being trained, in the order of the stack.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        plans: Sequence[Plan],
        trainer: CompiledSteps,
        members: Sequence[int],
    ) -> None:
        self.members = list(members)
        self.models = {m: models[m] for m in self.members}
        self.plans = [plans[m] for m in self.members]
        self.trainer = trainer
        self.pace = Pace()
        self.compile_seconds = 0.0
        splits = [plan.data.train for plan in self.plans]
        rows = [split.rows for split in splits if split.rows is not None]
        self.data = Arrays(splits[0].x, splits[0].y, jnp.stack(rows) if rows else None)
        inputs = [
            run_inputs(model, plan.data.augment, plan.data.class_weights)
            for model, plan in zip(self.models.values(), self.plans, strict=True)
        ]
        self.inputs: RunInputs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)
        self.states: State = jax.tree.map(
            lambda leaf: jnp.zeros((len(self.members), *leaf.shape), leaf.dtype),
            take_state(self.models[self.members[0]], "train"),
        )
        self._compiled: dict[tuple[int, ...], Program] = {}
        self._put = jax.jit(_put, donate_argnums=0)
        self._take = jax.jit(_take)

    def run(
        self, epoch: int, going: dict[int, Bookkeeping], progress: Progress
    ) -> dict[int, float]:
        """Run an epoch's steps; return for each member the seconds of all, without compiling."""
        orders = [batches(order(plan, epoch), plan.schedule.batch_size) for plan in self.plans]
        parts = [np.stack(part) for part in zip(*orders, strict=True)]
        total, done = sum(part.shape[1] for part in parts), 0
        begun, compiled = time.perf_counter(), self.compile_seconds
        for m in going:
            state = take_state(self.models[m], "train")
            self.states = self._put(self.states, state, self.members.index(m))
        left = list(going)
        for part, start, stop in self._ranges(parts, going):
            logs = dict(zip(self.members, self._chunk(part, start, stop, epoch), strict=True))
            done += stop - start
            progress.on_steps(epoch + 1, done, total, _mean([logs[m] for m in left]))
            # A member that ends here keeps this state; the stack's copy is no longer used.
            for m in [m for m in left if going[m].after_steps(logs[m])]:
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
        self, parts: list[NDArray[np.int32]], going: dict[int, Bookkeeping]
    ) -> Iterator[tuple[NDArray[np.int32], int, int]]:
        """Yield (rows of batches by member, start, stop)."""
        # One step first for a member that is to stop before the epoch has begun, as in fit.
        size = 1 if any(book.model.stop_training for book in going.values()) else 0
        for part in parts:
            start = 0
            while start < part.shape[1]:
                stop = min(part.shape[1], start + (size or self.pace.steps()))
                yield part, start, stop
                start, size = stop, 0

    def _chunk(self, part: NDArray[np.int32], start: int, stop: int, epoch: int) -> list[Row]:
        """Run a range of steps, wait for it, and return each member's means."""
        begun, compiled = time.perf_counter(), self.compile_seconds
        numbers = (jnp.int32(start), jnp.int32(stop), jnp.int32(epoch))
        arguments = (self.states, self.data, self.inputs, jnp.asarray(part), *numbers)
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
        self, states: State, data: Arrays, inputs: RunInputs, order: jax.Array, *numbers: jax.Array
    ) -> tuple[State, Logs]:
        def member(
            state: State, rows: jax.Array | None, its: RunInputs, its_order: jax.Array
        ) -> tuple[State, Logs]:
            split = Arrays(data.x, data.y, rows)
            return self.trainer.steps(state, split, its, its_order, *numbers)

        result: tuple[State, Logs] = jax.vmap(member)(states, data.rows, inputs, order)
        return result


def _put(stacked: Any, one: Any, index: jax.Array) -> Any:
    """Return the stack with one member's leaves replaced."""
    return jax.tree.map(lambda leaf, value: leaf.at[index].set(value), stacked, one)


def _take(stacked: Any, index: jax.Array) -> Any:
    """Return one member's leaves."""
    return jax.tree.map(lambda leaf: leaf[index], stacked)


def _mean(rows: Sequence[Row]) -> Row:
    """Return the means of what all members measured: a dead network has no receptive fields."""
    known = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: float(np.mean([row[key] for row in rows])) for key in known}
