"""What a study found, read from its folder."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mlplab import files
from mlplab.errors import RunError, last_line
from mlplab.report import formatting
from mlplab.report.comparison import MARGIN, Comparison, compare
from mlplab.report.configurations import Side, side
from mlplab.report.history import epoch_of
from mlplab.runs import layout, ledger, store
from mlplab.runs.record import Record

LARGEST = 2**28
FEWEST_TRIED = 4
"""With fewer values tried, the best one is at an end too often by chance."""

TRIAL_HEADINGS = ("variant", "trials", "finished", "pruned", "diverged", "failed", "best", "at")


@dataclass(frozen=True)
class Variant:
    """A variant of a study.

    Attributes:
        name: of the variant.
        facts: of ``study.json``: ``trials``, ``total``, ``best``, ``importances``.
        finals: its final runs that were started, by folder.
    """

    name: str
    facts: dict[str, Any]
    finals: dict[Path, Record]

    @property
    def best(self) -> dict[str, Any] | None:
        """The facts of its best trial."""
        number = self.facts["best"]
        return next((t for t in self.facts["trials"] if t["number"] == number), None)

    def outcomes(self, *which: str) -> int:
        """Return how many trials had one of these outcomes."""
        return sum(trial["outcome"] in which for trial in self.facts["trials"])


@dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes:
        folder: of the study.
        facts: ``study.json``.
        variants: in the order of the study.
        comparison: of the final runs, or ``None`` if there are none.
        data_ids: identities of the data set, empty if nothing has been run.
        opened: how often the test set was evaluated, in words; empty if never.
        missing: what was not shown, in words.
    """

    folder: Path
    facts: dict[str, Any]
    variants: list[Variant]
    comparison: Comparison | None
    data_ids: frozenset[str]
    opened: str
    missing: list[str]


def load(folder: Path, margin: float = MARGIN) -> Results:
    """Read a study's folder.

    Args:
        folder: of the study.
        margin: difference that matters, as a share of the images.

    Raises:
        RunError: if it is not a study's folder, or is damaged.
    """
    path = folder / layout.STUDY_FACTS
    try:
        return _read(folder, _current(json.loads(files.text(path, LARGEST))), margin)
    except OSError as error:
        raise RunError(
            f"{folder} has no {layout.STUDY_FACTS} yet: {error.strerror}. Repeat the command that"
            " started the study: it continues, and writes the file when the trials have ended"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise RunError(f"{path} is damaged: {detail[:300]}") from None


def _current(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with the current keys: variants were once called levels."""
    found = {("variants" if key == "levels" else key): value for key, value in facts.items()}
    study = found["study"]
    found["study"] = {("variants" if key == "levels" else key): study[key] for key in study}
    return found


def _read(folder: Path, facts: dict[str, Any], margin: float) -> Results:
    finals = _finals(folder)
    variants = [
        Variant(name, found, {f: r for f, r in finals.items() if r.group == name})
        for name, found in facts["variants"].items()
    ]
    reference = facts["study"].get("reference")
    sides = sides_of(variants)
    comparison = None
    if sides:
        names = [found.name for found in sides]
        second = reference if reference in names else _best_tried(variants, names, facts)
        comparison = compare(sides, None, margin, second)
        comparison.notes.extend([*_tuned(variants), *_grown(facts)])
    ids: frozenset[str] = frozenset().union(*(record.data_ids for record in finals.values()))
    opened = formatting.openings(ledger.count(folder.parent, ids)) if ids else ""
    return Results(folder, facts, variants, comparison, ids, opened, _missing(facts, variants))


def _finals(folder: Path) -> dict[Path, Record]:
    found = {}
    for run in store.folders(folder / layout.FINALS):
        try:
            found[run] = store.read_record(run)
        except RunError:
            continue  # :func:`_missing` counts it
    return found


def sides_of(variants: Sequence[Variant]) -> list[Side]:
    sides = []
    for variant in variants:
        try:
            sides.append(side(variant.name, list(variant.finals.items())))
        except RunError:
            continue  # listed as missing
    return sides


def _best_tried(variants: Sequence[Variant], names: Sequence[str], facts: Mapping[str, Any]) -> str:
    """Return the variant with the best trial.

    Not the one with the best final runs: it would be chosen partly by luck that also enters the
    comparison, and be called better more often than it is.
    """
    sign = 1 if facts["study"]["metric"] == "accuracy" else -1
    tried = {variant.name: sign * variant.best["value"] for variant in variants if variant.best}
    return max(names, key=lambda name: tried.get(name, -math.inf))


def _tuned(variants: Sequence[Variant]) -> list[str]:
    """Say what the search may have missed, which no interval includes."""
    most = max(variant.facts["total"] for variant in variants)
    if most < 2:
        return []
    said = [
        f"each variant is evaluated at the best of its trials, {most} at most: another search might"
        " have found better settings, and the intervals do not include tuning luck"
    ]
    for variant in variants:
        done = [t["point"] for t in variant.facts["trials"] if t["outcome"] == "finished"]
        for key, value in (variant.best or {"point": {}})["point"].items():
            tried = {point[key] for point in done if formatting.is_number(point.get(key))}
            if len(tried) < FEWEST_TRIED or not formatting.is_number(value):
                continue
            end = {min(tried): "lowest", max(tried): "highest"}.get(value)
            if end:
                said.append(
                    f"{variant.name}: its best trial has the {end} {key} that was tried,"
                    f" {value:.4g}: better values may be beyond it"
                )
    return said


def _grown(facts: Mapping[str, Any]) -> list[str]:
    before = facts.get("finals_before") or []
    if not before:
        return []
    return [
        f"final runs were added when {', '.join(map(str, before))} of each variant were known:"
        " adding runs until a difference is shown finds one more often than these intervals say"
    ]


def _missing(facts: Mapping[str, Any], variants: Sequence[Variant]) -> list[str]:
    """Say what was not shown: trials left to run, failed ones, variants without final runs."""
    said = []
    left = sum(variant.facts["total"] - variant.outcomes("finished", "pruned", "diverged", "failed")
               for variant in variants)  # fmt: skip
    if left:
        said.append(f"{left} trials are left: the study has not ended")
    for variant in variants:
        failed = [t for t in variant.facts["trials"] if t["outcome"] == "failed"]
        if failed:
            said.append(
                f"{variant.name}: {len(failed)} of {variant.facts['total']} trials failed, the"
                f" first because: {last_line(failed[0]['reason'] or 'unknown')}"
            )
        if variant.name in facts["final_failures"]:
            said.append(
                f"{variant.name}: final runs failed:"
                f" {last_line(facts['final_failures'][variant.name])}"
            )
        lost = [record for record in variant.finals.values() if record.status == "diverged"]
        if lost:
            said.append(f"{variant.name}: {len(lost)} of {len(variant.finals)} final runs diverged")
        lacking = facts["study"]["design"]["finals"] - len(variant.finals)
        if variant.finals and lacking > 0 and facts["status"] != "running":
            said.append(f"{variant.name}: {lacking} final runs are missing or damaged")
        if not variant.finals and facts["study"]["design"]["finals"]:
            said.append(f"{variant.name}: no final runs, so its test accuracy is not known")
    return said


def trial_rows(results: Results) -> list[list[str]]:
    """Return one row per variant about its trials, the best first."""
    study = results.facts["study"]
    sign = -1 if study["metric"] == "accuracy" else 1

    def order(variant: Variant) -> float:
        return sign * variant.best["value"] if variant.best else math.inf

    return [
        [
            variant.name,
            str(variant.facts["total"]),
            str(variant.outcomes("finished")),
            str(variant.outcomes("pruned")),
            str(variant.outcomes("diverged")),
            str(variant.outcomes("failed")),
            formatting.figure(variant.best["value"], study["metric"] == "accuracy")
            if variant.best
            else "–",
            point_text(variant.best["point"]) if variant.best else "",
        ]
        for variant in sorted(results.variants, key=order)
    ]


def point_text(point: Mapping[str, Any]) -> str:
    """Return a point as overrides of a recipe."""
    return " ".join(f"{key}={_word(value)}" for key, value in point.items())


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace(" ", "")


def time_to_target(runs: Mapping[Path, Record], target: float) -> tuple[float, float, int]:
    """Return median epochs and seconds to a validation accuracy, and how many runs reached it.

    A run that did not reach it counts as infinite, so the median is infinite if most did not.
    """
    epochs, seconds = [], []
    for folder, record in runs.items():
        passed = 0.0
        together = record.population is not None and record.population.mode == "vmap"
        share = record.population.members if together and record.population else 1
        found = (math.inf, math.inf)
        for row in files.read_lines(folder / layout.METRICS):
            accuracy, seconds_of = row.get("val_accuracy"), row.get("seconds")
            passed += seconds_of / share if formatting.is_number(seconds_of) else 0.0
            epoch = epoch_of(row)
            if formatting.is_number(accuracy) and accuracy >= target and epoch is not None:
                found = (float(epoch), passed)
                break
        epochs.append(found[0])
        seconds.append(found[1])
    reached = sum(math.isfinite(value) for value in epochs)
    return median(epochs), median(seconds), reached
