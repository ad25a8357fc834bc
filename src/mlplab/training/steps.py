"""Many of Keras's stateless steps in one compiled function, over data on the device.

``fit`` passes one batch at a time to the device and returns to Python after each. Here the whole
split is an argument of the compiled function, which gathers its batches itself, so that hundreds of
steps run without Python. The state is donated: the optimizer writes in place.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.extend.core import jaxpr_as_fun
from numpy.typing import NDArray

from mlplab.augment.pipeline import Augmentation
from mlplab.models.conversion import fast_layers, is_worth_cpp
from mlplab.models.native import library
from mlplab.training import constants
from mlplab.training.arrays import Arrays
from mlplab.training.compilation import compiled
from mlplab.training.devices import Sharding
from mlplab.training.resizing import resized
from mlplab.training.teacher import Teacher
from mlplab.training.update import in_one_pass

State = tuple[list[jax.Array], ...]
Logs = dict[str, jax.Array]
Mode = Literal["train", "test"]
Program = Callable[..., tuple[State, Logs]]


class RunInputs(NamedTuple):
    """The inputs of a compiled program that belong to a run; see :func:`run_inputs`.

    Attributes:
        constants: of the model, in the order of :mod:`mlplab.training.constants`.
        seed: uint32, of the augmentation.
        class_weights: float32 [classes], the weight of an example in the loss by its class.
        teacher: its values.
    """

    constants: list[jax.Array]
    seed: jax.Array
    class_weights: jax.Array | None
    teacher: Any = None


def run_inputs(
    model: keras.Model,
    augment: Augmentation | None = None,
    class_weights: NDArray[np.float32] | None = None,
    teacher: Teacher | None = None,
) -> RunInputs:
    """Return the inputs of a run's program other than its state and its data."""
    seed = jnp.asarray(0 if augment is None else augment.seed, jnp.uint32)
    weights = None if class_weights is None else jnp.asarray(class_weights, jnp.float32)
    values = None if teacher is None else teacher.values
    return RunInputs(constants.values(model), seed, weights, values)


def variables(model: keras.Model, mode: Mode) -> list[list[Any]]:
    """Return the model's variables in the groups, and the order, of Keras's stateless steps."""
    weights = [model.trainable_variables, model.non_trainable_variables]
    if mode == "train":
        weights.append(model.optimizer.variables)
    return [*weights, model.metrics_variables]


def take_state(model: keras.Model, mode: Mode) -> State:
    """Return the arrays that the model's variables hold, :func:`unshared`."""
    groups = variables(model, mode)
    return unshared(tuple([variable.value for variable in group] for group in groups))


def unshared(state: State) -> State:
    """Return a state in which no array is there twice.

    An array that two variables share (a weight and its average, say) is copied: once donated for
    one, it would be gone for the other.
    """
    seen: set[int] = set()

    def own(array: jax.Array) -> jax.Array:
        if id(array) in seen:
            return jnp.copy(array)
        seen.add(id(array))
        return array

    return tuple([own(array) for array in group] for group in state)


def repeated(
    step: Callable[[jax.Array, State], tuple[Any, State]],
    state: State,
    start: jax.Array,
    stop: jax.Array,
) -> tuple[State, Any]:
    """Return the state after a range of steps, and the last one's logs; to be traced.

    Args:
        step: from its number and the state to its logs and the next state.
        state: to begin with.
        start: the first step's number.
        stop: the number after the last.
    """

    # Traced once, and repeated from its trace: the loop has to know the logs' shapes before.
    trace, shapes = jax.make_jaxpr(step, return_shape=True)(jnp.int32(0), state)
    traced = jaxpr_as_fun(trace)

    def body(index: jax.Array, carry: tuple[State, Any]) -> tuple[State, Any]:
        results = traced(*jax.tree.leaves((index, carry[0])))
        logs, state = jax.tree.unflatten(jax.tree.structure(shapes), results)
        return state, logs

    zeros = jax.tree.map(lambda value: jnp.zeros(value.shape, value.dtype), shapes[0])
    result: tuple[State, Any] = jax.lax.fori_loop(start, stop, body, (state, zeros))
    return result


def put_state(model: keras.Model, state: State, mode: Mode) -> None:
    """Give the arrays of a state back to the model's variables; deleted ones are left out."""
    for group, arrays in zip(variables(model, mode), state, strict=True):
        for variable, array in zip(group, arrays, strict=True):
            if not array.is_deleted():
                variable.assign(array)


@dataclass(eq=False)
class CompiledSteps:
    """Runs ranges of steps of one model, compiling once for each batch size.

    Args:
        model: compiled and built.
        mode: ``train`` (the state has the optimizer's variables) or ``test``.
        class_weights: float32 [classes], the weight of an example in the loss by its class.
        augment: changes each batch before the model sees it.
        sharding: of several devices, which then share each batch.
        teacher: adds its predictions to the labels.
        worth_cpp: whether a plain MLP is worth C++; networks with ``conversion.WORTH_CPP`` are.
    """

    model: keras.Model
    mode: Mode
    class_weights: NDArray[np.float32] | None = None
    augment: Augmentation | None = None
    sharding: Sharding | None = None
    teacher: Teacher | None = None
    worth_cpp: bool = False
    compile_seconds: float = 0.0
    _compiled: dict[tuple[int, ...], Program] = field(default_factory=dict)

    def run(
        self,
        state: State,
        data: Arrays,
        order: NDArray[np.int32],
        start: int,
        stop: int,
        epoch: int = 0,
        inputs: RunInputs | None = None,
        square: int = 1,
    ) -> tuple[State, Logs]:
        """Run steps ``start`` to ``stop`` and return the new state and the last step's logs.

        Args:
            state: donated if the mode is ``train``: its arrays are gone afterwards.
            data: the split to draw from.
            order: int32 [steps, batch], positions in the split.
            start: first row of the order.
            stop: the row after the last.
            epoch: from 0, for the augmentation.
            inputs: of another model of the same form, whose state this is.
            square: side of the squares of pixels whose mean the first dense layer sees.
        """
        if inputs is None:
            inputs = run_inputs(self.model, self.augment, self.class_weights, self.teacher)
        numbers = (jnp.int32(start), jnp.int32(stop), jnp.int32(epoch))
        arguments: tuple[Any, ...] = (state, data, inputs, jnp.asarray(order), *numbers)
        if self.sharding is not None:
            arguments = self.sharding.replicate(arguments)
        key = self._key(data, order, square)
        if key not in self._compiled:
            begun = time.perf_counter()
            self._compiled[key] = compiled(self._traced(arguments, square))
            self.compile_seconds += time.perf_counter() - begun
        return self._compiled[key](*arguments)

    def prepared(
        self, data: Arrays, order: NDArray[np.int32], square: int = 1
    ) -> Callable[[], None]:
        """Trace the program for steps of the model's own, and return what compiles it.

        Programs can be compiled in parallel, but only one can be traced at a time. Arguments are
        those of :meth:`run`.
        """
        inputs = run_inputs(self.model, self.augment, self.class_weights, self.teacher)
        rows, number = jnp.asarray(order), jnp.int32(0)
        arguments = take_state(self.model, self.mode), data, inputs, rows, number, number, number
        traced = self._traced(arguments, square)

        def compile_it() -> None:
            self._compiled[self._key(data, order, square)] = compiled(traced)

        return compile_it

    def _key(self, data: Arrays, order: NDArray[np.int32], square: int) -> tuple[int, ...]:
        """Return what determines a program; it runs any of its steps and epochs."""
        return (*data.x.shape, len(data), *order.shape, square)

    def _traced(self, arguments: tuple[Any, ...], square: int) -> jax.stages.Lowered:
        # A test step does not change the weights, and the model still uses them.
        donated = (0,) if self.mode == "train" else ()
        # Without this, the compiler may leave the new state divided over the devices.
        places = None if self.sharding is None else self.sharding.everywhere
        program = jax.jit(self.steps, donate_argnums=donated, out_shardings=places)
        with resized(self.model, square):
            return program.lower(*arguments)

    def steps(
        self,
        state: State,
        data: Arrays,
        inputs: RunInputs,
        order: jax.Array,
        start: jax.Array,
        stop: jax.Array,
        epoch: jax.Array,
    ) -> tuple[State, Logs]:
        """Compute the steps of :meth:`run`; to be traced."""
        step = self.model.train_step if self.mode == "train" else self.model.test_step
        cpp = (self.worth_cpp or is_worth_cpp(self.model)) and library.found()
        batch_at = self._batches(data, inputs, epoch, cpp)

        def one(index: jax.Array, state: State) -> tuple[Logs, State]:
            logs, state = step(state, tuple(batch_at(order[index])))
            return dict(logs), tuple(list(group) for group in state)

        with (
            constants.replaced(self.model, inputs.constants),
            in_one_pass(self.model.optimizer),
            fast_layers(self.model, cpp),
        ):
            return repeated(one, state, start, stop)

    def _batches(
        self, data: Arrays, inputs: RunInputs, epoch: jax.Array, cpp: bool
    ) -> Callable[[jax.Array], list[jax.Array]]:
        """Return the function from positions in the split to a batch for the model."""
        augment = self.augment and replace(self.augment, seed=inputs.seed, in_cpp=cpp)
        shown = epoch if self.teacher is None else self.teacher.epoch_shown(epoch)
        # Computed before the loop, so that it is computed once.
        table = None if augment is None else augment.table(shown, len(data))

        def batch_at(rows: jax.Array) -> list[jax.Array]:
            places = rows if data.rows is None else data.rows[rows]
            batch = [a.at[places].get(mode="promise_in_bounds") for a in (data.x, data.y)]
            if augment is not None:
                batch = list(augment(batch[0], batch[1], rows, shown, table))
            if inputs.class_weights is not None:
                weights, y = inputs.class_weights, batch[1]
                batch.append(weights[y] if y.ndim == 1 else y @ weights)
            if self.teacher is not None:
                answers = self.teacher.answers(inputs.teacher, batch[0], rows, epoch)
                batch[1] = jnp.concatenate([batch[1], answers], axis=-1)
            return batch if self.sharding is None else self.sharding.share(batch)

        return batch_at


def batches(order: NDArray[np.int32], batch_size: int) -> list[NDArray[np.int32]]:
    """Cut an order into rows of whole batches, and one row for the remainder.

    Returns:
        One or two arrays, int32 [steps, batch size] and int32 [1, rest]; no example is dropped.
    """
    whole = len(order) // batch_size * batch_size
    parts = [order[:whole].reshape(-1, batch_size), order[whole:].reshape(1, -1)]
    return [part for part in parts if part.size]


def evaluate(
    steps: CompiledSteps, data: Arrays, batch_size: int, model: keras.Model | None = None
) -> dict[str, float]:
    """Return the compiled loss and metrics over a split, as ``model.evaluate`` does.

    The model's weights are read and not changed.

    Args:
        steps: in the mode ``test``.
        data: the split.
        batch_size: images per step.
        model: to evaluate instead of the steps' own, of the same form.
    """
    model = steps.model if model is None else model
    inputs = run_inputs(model)
    for metric in model.metrics:
        metric.reset_state()
    state = take_state(model, "test")
    logs: Logs = {}
    for part in batches(np.arange(len(data), dtype=np.int32), batch_size):
        state, logs = steps.run(state, data, part, 0, len(part), inputs=inputs)
    for metric in model.metrics:
        metric.reset_state()
    return {key: float(value) for key, value in logs.items()}
