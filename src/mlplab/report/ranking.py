"""Configurations in a table, the best on validation first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlplab.report.configurations import Side
from mlplab.statistics.metrics import wilson


@dataclass(frozen=True)
class Entry:
    """A configuration in the table.

    Attributes:
        name: of the configuration.
        config_id: of its recipe.
        n: runs.
        accuracy: by split: ``mean``, ``sd`` (``None`` for one run), ``values`` by seed; and for one
            run ``low`` and ``high``, Wilson's 95 % interval.
        cost: see :attr:`mlplab.report.configurations.Side.cost`.
        on_front: whether no other is both at least as accurate on validation and as fast.
        selected_on: the split on which its choices were made.
    """

    name: str
    config_id: str
    n: int
    accuracy: dict[str, dict[str, Any]]
    cost: dict[str, float]
    on_front: bool
    selected_on: str


def ranked(sides: Sequence[Side]) -> list[Entry]:
    """Return the table's entries, the best on validation first."""
    accuracy = {side.name: {s: _summary(side, s) for s in ("validation", "test")} for side in sides}
    costs = {side.name: side.cost for side in sides}

    def validation(name: str) -> float:
        return float(accuracy[name]["validation"].get("mean", math.nan))

    def beaten(name: str) -> bool:
        here = validation(name), -costs[name]["seconds"]
        if math.isnan(here[0]):
            return True
        others = [(validation(n), -costs[n]["seconds"]) for n in costs if n != name]
        return any(a >= here[0] and b >= here[1] and (a, b) != here for a, b in others)

    entries = [
        Entry(
            name=side.name,
            config_id=side.config_id,
            n=len(side.records),
            accuracy={s: figures for s, figures in accuracy[side.name].items() if figures},
            cost=costs[side.name],
            on_front=not beaten(side.name),
            selected_on=side.selected_on,
        )
        for side in sides
    ]
    # What was selected on test has no honest validation accuracy.
    return sorted(
        entries,
        key=lambda entry: (
            entry.selected_on == "test",
            -entry.accuracy.get("validation", {}).get("mean", -1.0),
            entry.name,
        ),
    )


def _summary(side: Side, split: str) -> dict[str, Any]:
    if not side.has(split):  # the mean of some of its seeds would stand beside that of all
        return {}
    values = side.values(split)
    numbers = np.array(list(values.values()))
    found: dict[str, Any] = {
        "mean": float(numbers.mean()),
        "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        "values": values,
    }
    if len(numbers) == 1:
        n = int(next(iter(side.records.values())).metrics[split]["n"])
        found["low"], found["high"] = wilson(round(float(numbers[0]) * n), n)
    return found
