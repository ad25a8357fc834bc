"""The points of its search spaces at which a variant is tried, all known in advance."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import qmc

from mlplab.study.design import Study
from mlplab.study.search_space import Range, Space

Point = dict[str, Any]


def points(study: Study, variant: str) -> list[Point]:
    """Return the points of a variant's trials: the same for the same study, whatever the machine.

    ``quasirandom`` points are those of a scrambled Halton sequence, which leave no holes and do not
    cluster (Bousquet et al. 2017, "Critical Hyper-Parameters: No Random, No Cry"). A point that was
    drawn before is left out, so a space of few choices may have fewer points than ``trials``. A
    ``bayesian`` study has none: it proposes them while it runs.
    """
    spaces = study.spaces(variant)
    design = study.design
    if design.kind == "grid":
        return _grid(spaces)
    if not spaces:
        return [{}]  # a repetition would give the same result
    # One sequence for all: variants that search the same space are tried at the same points, so
    # that none is better because it drew the better learning rate.
    random = np.random.default_rng(design.seed)
    if design.kind == "random":
        shares = random.random((design.trials, len(spaces)))
    else:
        shares = qmc.Halton(len(spaces), rng=random).random(design.trials)
    drawn = [
        {key: _value(space, share) for (key, space), share in zip(spaces.items(), row, strict=True)}
        for row in shares
    ]
    # With the same seed, a repetition would give the same result.
    return list({json.dumps(point): point for point in drawn}.values())


def _grid(spaces: Mapping[str, Space]) -> list[Point]:
    choices = [space.choices for space in spaces.values() if not isinstance(space, Range)]
    return [dict(zip(spaces, cell, strict=True)) for cell in itertools.product(*choices)]


def _value(space: Space, share: float) -> Any:
    """Return the value at a position of a space, in [0, 1)."""
    if not isinstance(space, Range):
        return space.choices[int(share * len(space.choices))]
    # Each whole number has a bin of the same width.
    low, high = (space.low - 0.5, space.high + 0.5) if space.whole else (space.low, space.high)
    if space.log:
        low = max(low, 0.5) if space.whole else low
        value = float(low * (high / low) ** share)
    else:
        value = float(low + share * (high - low))
    if space.whole:
        return int(min(max(round(value), space.low), space.high))
    return float(f"{value:.4g}")  # readable, and precise enough
