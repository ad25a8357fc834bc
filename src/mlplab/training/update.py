"""The optimizer's update in one pass over memory, on a CPU.

An update reads a weight, its gradient and the optimizer's numbers for it, and writes all except the
gradient. XLA's CPU backend computes the optimizer's new numbers in one loop over memory and the
weights, which depend on them, in another. That second pass over memory costs the time. If the
weights are computed from the old numbers, XLA sees several results of the same arguments and writes
them all in one loop. The arithmetic is the same.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import lax

from mlplab.optim.optimizers import is_elementwise
from mlplab.training.compilation import compiled

# Settings that add sums over elements, or a choice between two updates.
HINDRANCES = ("clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps")
SMALL = 2**20  # weights that a cache holds, with their gradients and the optimizer's numbers


@contextmanager
def in_one_pass(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let steps that are traced inside the block update all weights in one pass, if that helps.

    Args:
        optimizer: built. Those whose update is not elementwise stay as they are.
    """
    if not _gains(optimizer):
        yield
        return
    plain = optimizer.stateless_apply

    def apply(state: list[Any], gradients: list[Any], weights: list[Any]) -> tuple[Any, Any]:
        _, new_state = plain(state, gradients, weights)
        # The same update again. Behind the barrier XLA does not recognise it, and so does not make
        # the weights wait for the optimizer's new numbers. (A barrier before the state or the
        # weights would make it copy them.)
        hidden = lax.optimization_barrier(gradients)  # type: ignore[no-untyped-call]
        return plain(state, hidden, weights)[0], new_state

    optimizer.stateless_apply = apply
    try:
        yield
    finally:
        del optimizer.stateless_apply


def _gains(optimizer: keras.optimizers.Optimizer) -> bool:
    if not is_elementwise(optimizer) or any(getattr(optimizer, key) for key in HINDRANCES):
        return False
    weights = sum(math.prod(variable.shape) for variable in optimizer._trainable_variables)
    return weights >= SMALL and _one_loop_for_several_results()


@functools.cache
def _one_loop_for_several_results() -> bool:
    """Return whether XLA does so here; if it does not, computing twice would cost time."""
    if jax.default_backend() != "cpu":
        return False  # a GPU's compiler needs no help
    numbers = jax.ShapeDtypeStruct((SMALL,), jnp.float32)  # type: ignore[no-untyped-call]
    two = jax.jit(lambda a, b: (a * b + 1, a - b * 2)).lower(numbers, numbers)
    text: str = compiled(two).as_text() or ""
    return text.count("kind=kLoop") == 1
