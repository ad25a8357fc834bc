"""Verdicts on comparisons, in words."""

import numpy as np
from numpy.typing import NDArray

from mlplab.report.configurations import Side
from mlplab.report.formatting import exact_points
from mlplab.statistics import significance


def _seeds(number: int) -> str:
    return f"{number:,}" if number < significance.MOST_SEEDS else f"over {number:,}"


def shown(first: Side, second: Side, mean: float, low: float, high: float) -> str:
    """Say which is better, and by how much."""
    better = first if mean > 0 else second
    ends = sorted((abs(low), abs(high)))
    but = " where it does not diverge" if better.diverged else ""
    return (
        f"{better.name} is better by {100 * abs(mean):.1f} points"
        f" ({100 * ends[0]:.1f} to {100 * ends[1]:.1f}){but}"
    )


def of_few(first: str, second: str, numbers: NDArray[np.float64]) -> str:
    """Say why these differences, float [n], allow no verdict."""
    if len(numbers) == 0:
        return f"{first} and {second} have no seed in common: train them with the same --seeds"
    if len(numbers) < significance.FEWEST:
        return (
            f"no verdict with {len(numbers)} pair{'s' * (len(numbers) > 1)}: train at least"
            f" {significance.FEWEST} seeds of each (--seeds 0..4)"
        )
    return f"no verdict: all {len(numbers)} differences are equal, so there is no spread"


def of_two(first: str, second: str, found: significance.Disagreement, p: float) -> str:
    """Say what McNemar's test, with its p-value adjusted, says about two networks."""
    caution = "this compares the two networks, not the two recipes"
    if p >= 0.05:
        return f"the two networks are not distinguishable (McNemar, p = {p:.2g}); {caution}"
    better = first if found.first > found.second else second
    by = 100 * abs(found.first - found.second) / found.images
    return f"the network of {better} is better by {by:.1f} points (McNemar, p = {p:.2g}); {caution}"


def not_shown(numbers: NDArray[np.float64], margin: float, level: float) -> str:
    """Say how many seeds would show a difference of ``margin``, tested at ``level``."""
    needed = significance.seeds_needed(float(numbers.std(ddof=1)), len(numbers), margin, level)
    return (
        f"not distinguishable with {len(numbers)} seeds: about {_seeds(needed.about)}"
        f" ({_seeds(needed.low)} to {_seeds(needed.high)}) would show a difference of"
        f" {exact_points(margin)}"
    )
