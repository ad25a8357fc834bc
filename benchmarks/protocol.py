"""How contestants are timed: interleaved, in turns, on a machine that may throttle.

A reference matrix product is timed before each turn. If its rate falls below 85 % of the best rate
seen, the round was run on a slowed machine: it is repeated, and the repetitions are counted.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

LOWEST = 0.85
MOST_REPEATED = 4  # per counted round; on a shared machine there might be no end
REFERENCE_SECONDS = 2.0
SIZE = 1024


@dataclass
class Timing:
    """What a comparison measured.

    Attributes:
        seconds: by contestant, one value per counted round.
        reference: GFLOP/s of the reference product, one value per counted round.
        repeated: rounds that were discarded because the machine was slowed.
        slowed: counted rounds that were slowed too, because the limit of repetitions was reached.
    """

    seconds: dict[str, list[float]]
    reference: list[float] = field(default_factory=list)
    repeated: int = 0
    slowed: int = 0

    def summary(self, ours: str) -> dict[str, Any]:
        """Return medians, ranges, and the per-round ratios of each contestant's time to ours."""
        rows: dict[str, Any] = {}
        for name, values in self.seconds.items():
            ratios = [value / own for value, own in zip(values, self.seconds[ours], strict=True)]
            rows[name] = {
                "median": statistics.median(values),
                "lowest": min(values),
                "highest": max(values),
                "ratio_median": statistics.median(ratios),
                "ratio_lowest": min(ratios),
                "ratio_highest": max(ratios),
                "seconds": values,
            }
        return rows


def interleave(
    contestants: dict[str, Callable[[], float]],
    rounds: int,
    repeat: bool = True,
    reference: Callable[[], float] | None = None,
    report: Callable[[str], None] = print,
) -> Timing:
    """Time the contestants in turns: A B A B …

    Args:
        contestants: by name, a function that does the work once and returns the seconds it took.
            The caller must have paid for compilation and other first-time costs already.
        rounds: the number of rounds to count.
        repeat: whether to repeat slowed rounds.
        reference: measures the machine's rate; by default :func:`reference_rate`.
        report: called with a line of text for each round.
    """
    timing = Timing({name: [] for name in contestants})
    reference = reference or reference_rate
    best = reference()
    while len(timing.reference) < rounds:
        rates, seconds = [], {}
        for name, work in contestants.items():
            rates.append(reference())
            seconds[name] = work()
        best = max(best, *rates)
        words = "  ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        slowed = min(rates) < LOWEST * best
        again = repeat and slowed and timing.repeated < MOST_REPEATED * rounds
        note = " slowed, to be repeated" if again else " slowed" if slowed else ""
        report(f"{words}  (reference {min(rates):.0f} GFLOP/s{note})")
        timing.repeated += again
        if again:
            continue
        timing.slowed += slowed
        timing.reference.append(min(rates))
        for name, value in seconds.items():
            timing.seconds[name].append(value)
    return timing


def reference_rate() -> float:
    """Return the rate of a float32 matrix product, measured for two seconds, in GFLOP/s."""
    matrix = jnp.ones((SIZE, SIZE), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    product(matrix).block_until_ready()
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < REFERENCE_SECONDS:
        product(matrix).block_until_ready()
        count += 1
    return 2 * SIZE**3 * count / (time.perf_counter() - begun) / 1e9
