"""Many steps as one program or one by one, whichever is faster."""

import time
from typing import Any

import jax
import numpy as np

from mlplab.training.steps import State

TRIED = 3  # steps by each of two ways, of which the faster is then used


class Faster:
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

    def run(self, state: State, tree: Any, part: Any, start: int, stop: int) -> tuple[Any, State]:
        """Take a range of steps."""
        outputs: Any = None
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

    def _try(self, state: State, tree: Any, part: Any, index: int) -> tuple[Any, State]:
        """Take one step, in turns by the program and alone; the first alone is also compiled."""
        times = self.seconds
        alone = len(times["step"]) <= len(times["program"])
        begun = time.perf_counter()
        if alone:
            outputs, state = self.step(state, tree, part[index])
        else:
            outputs, state = self._by_program(state, tree, part, index, index + 1)
        wait_for(state)
        times["step" if alone else "program"].append(time.perf_counter() - begun)
        self.doubtful = len(times["step"]) <= TRIED
        return outputs, state

    def _by_program(
        self, state: State, tree: Any, part: Any, start: int, stop: int
    ) -> tuple[Any, State]:
        result: tuple[Any, State] = self.program(state, tree, part, np.int32(start), np.int32(stop))
        return result


def wait_for(arrays: Any) -> None:
    """Wait until arrays are computed."""
    jax.block_until_ready(arrays)  # type: ignore[no-untyped-call]
