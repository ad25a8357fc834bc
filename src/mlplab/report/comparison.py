"""Configurations side by side: figures with their uncertainty, paired differences, verdicts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError
from mlplab.report import verdicts
from mlplab.report.configurations import Side, right
from mlplab.report.formatting import exact_points
from mlplab.report.ranking import Entry, ranked
from mlplab.statistics import significance

MARGIN = 0.005
"""Smallest difference that matters by default, as a share of the images."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Pairing:
    """A configuration against the reference.

    Attributes:
        first: the configuration.
        second: the reference.
        n: seeds that both have.
        values: differences, first less second, by seed.
        mean: of the differences.
        sd: of the differences, ``None`` for one.
        low: of the adjusted paired-t interval, which decides; ``None`` for fewer than 3 pairs.
        high: likewise.
        confidence: of that interval, before adjustment.
        p: adjusted p-value.
        shown: whether a difference is shown.
        flips: p-value of the sign-flip test, from 7 pairs on; it decides nothing.
        images: interval for new seeds and new images.
        mcnemar: for two single runs: images that only one gets right, and the p-value.
        verdict: in words.
    """

    first: str
    second: str
    n: int
    values: dict[int, float]
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    confidence: float
    p: float | None
    shown: bool
    flips: float | None
    images: tuple[float, float] | None
    mcnemar: dict[str, float] | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """The result of ``mlplab compare``.

    Attributes:
        split: on which differences are taken.
        reference: what the others are compared with.
        entries: in the order of their accuracy on validation.
        pairings: one for each but the reference, in the same order.
        margin: difference that matters, as a share of the images.
        adjustment: of the family of intervals.
        notes: what readers need to know.
    """

    split: str
    reference: str
    entries: list[Entry]
    pairings: list[Pairing]
    margin: float
    adjustment: str
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able tables."""
        return asdict(self)


def compare(
    sides: Sequence[Side],
    split: str | None = None,
    margin: float = MARGIN,
    reference: str | None = None,
) -> Comparison:
    """Compare configurations with one of them, seed by seed.

    Args:
        sides: the configurations.
        split: on which to take differences: by default ``test`` if all their runs have been
            evaluated there, else ``validation``.
        margin: difference that matters, as a share of the images.
        reference: the name of the one that the others are compared with, by default the first.

    Raises:
        RunError: if a run has not been evaluated on the split, or two sides have the same name.
    """
    names = [side.name for side in sides]
    if len(set(names)) < len(names):
        raise RunError("the same configuration is named twice; name two different ones")
    split = split or ("test" if all(side.has("test") for side in sides) else "validation")
    _check_images(sides, split)
    second = next((side for side in sides if side.name == reference), sides[0])
    entries = ranked(sides)
    by_name = {side.name: side for side in sides}
    others = [by_name[entry.name] for entry in entries if entry.name != second.name]
    return Comparison(
        split=split,
        reference=second.name,
        entries=entries,
        pairings=_pairings(others, second, split, margin),
        margin=margin,
        adjustment="Holm" if len(others) > 1 else "none: one comparison",
        notes=_notes(sides, split),
    )


def _check_images(sides: Sequence[Side], split: str) -> None:
    """Refuse sides without results on the split, or with results on other images than the rest."""
    lacking = [name for side in sides for name in side.lacking(split)]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise RunError(
            f"not evaluated on {split}: {', '.join(lacking[:3])}{more}. `mlplab evaluate RUN"
            f" --split {split}` does that; or compare on another split (--on)"
        )
    on_test = [side.name for side in sides if side.selected_on == "test"]
    if split == "validation" and 0 < len(on_test) < len(sides):
        others = [name for side in sides for name in side.lacking("test")]
        todo = f", once {', '.join(others[:3])} have been evaluated there" if others else ""
        raise RunError(
            f"{', '.join(on_test)} validated on the test split, so accuracies on validation are of"
            f" different images. Compare on test{todo}: `mlplab evaluate RUN --split test`"
        )


def _pairings(others: Sequence[Side], second: Side, split: str, margin: float) -> list[Pairing]:
    pairs = []
    for first in others:
        one, other = first.values(split), second.values(split)
        pairs.append({seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())})
    family = significance.holm([list(values.values()) or [math.nan] for values in pairs])
    single = len(second.records) == 1
    alone = [
        _mcnemar(first, second, split) if single and len(first.records) == 1 else None
        for first in others
    ]
    adjusted = iter(significance.holm_adjusted([found.p for found in alone if found]))
    return [
        _pairing(
            first,
            second,
            split,
            margin,
            values,
            family,
            i,
            alone[i],
            float(next(adjusted)) if alone[i] else math.nan,
        )
        for i, (first, values) in enumerate(zip(others, pairs, strict=True))
    ]


def _pairing(
    first: Side,
    second: Side,
    split: str,
    margin: float,
    values: dict[int, float],
    family: significance.Adjusted,
    place: int,
    alone: significance.Disagreement | None,
    alone_p: float,
) -> Pairing:
    numbers = np.array(list(values.values()))
    known = not math.isnan(family.low[place])
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    mean = float(numbers.mean()) if values else math.nan
    low, high = float(family.low[place]), float(family.high[place])
    if alone is not None:
        verdict = verdicts.of_two(first.name, second.name, alone, alone_p)
    elif not known:
        verdict = verdicts.of_few(first.name, second.name, numbers)
    elif family.shown[place]:
        verdict = verdicts.shown(first, second, mean, low, high)
    elif -margin < low and high < margin:
        within = exact_points(margin)
        verdict = f"{first.name} and {second.name} are equivalent within {within}"
    else:
        verdict = verdicts.not_shown(numbers, margin, float(family.level[place]))
    return Pairing(
        first=first.name,
        second=second.name,
        n=len(values),
        values=values,
        mean=mean,
        sd=sd,
        low=low if known else None,
        high=high if known else None,
        confidence=1 - float(family.level[place]),
        p=float(family.p[place]) if known else None,
        shown=bool(family.shown[place]),
        flips=significance.sign_flips(numbers) if values else None,
        images=_over_images(first, second, split, list(values), 1 - float(family.level[place])),
        mcnemar=alone._asdict() | {"adjusted_p": alone_p} if alone else None,
        verdict=verdict,
    )


def _mcnemar(first: Side, second: Side, split: str) -> significance.Disagreement | None:
    try:
        one, other = (right(next(iter(s.folders.values())), split) for s in (first, second))
    except RunError:
        return None
    if not np.array_equal(one[0], other[0]):
        return None  # two seeds have different validation images
    return significance.mcnemar(one[1], other[1])


def _over_images(
    first: Side, second: Side, split: str, seeds: Sequence[int], confidence: float
) -> tuple[float, float] | None:
    if len(seeds) < significance.FEWEST or split != "test":  # seeds have other validation images
        return None
    try:
        one, other = (
            [right(side.folders[seed], split) for seed in seeds] for side in (first, second)
        )
    except RunError:
        return None
    if not all(np.array_equal(found[0], one[0][0]) for found in (*one, *other)):
        return None
    rights = [[found[1] for found in rows] for rows in (one, other)]
    return significance.over_images(rights[0], rights[1], confidence)


def _notes(sides: Sequence[Side], split: str) -> list[str]:
    notes = []
    for side in sides:
        if side.diverged:
            total = side.diverged + len(side.records)
            notes.append(
                f"{side.name}: {side.diverged} of {total} runs diverged and have no results;"
                " its figures are those of the other runs"
            )
    optimistic = [side.name for side in sides if side.selected_on == "test"]
    if optimistic:
        notes.append(
            f"{', '.join(optimistic)} chose the best epoch on the test split, so test results are"
            " optimistic"
        )
    for side in sides:
        seen = [s for r in side.records.values() for s in r.sources if s.validation_seen != 0]
        if seen:
            notes.append(
                f"{side.name}: {seen[0].run} may have been trained on its validation images, so"
                " its validation accuracy is optimistic"
            )
    untested = [name for side in sides for name in side.lacking("test")]
    if split == "validation" and untested and any(side.values("test") for side in sides):
        notes.append(
            "compared on validation, because not all runs were evaluated on test (missing:"
            f" {', '.join(untested[:3])}{' …' if len(untested) > 3 else ''})"
        )
    if split == "validation":
        notes.append(
            "differences are taken on validation, where seeds have different images: pairing"
            " removes the luck of the split, but there is no interval for new images"
            if len({seed for side in sides for seed in side.records}) > 1
            else "differences are taken on validation, on which choices were made"
        )
    return notes
