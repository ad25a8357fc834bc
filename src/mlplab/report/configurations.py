"""What is compared: configurations, each with its replicates, found by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError
from mlplab.runs import layout, store
from mlplab.runs.record import Record
from mlplab.statistics import metrics


@dataclass(frozen=True)
class Side:
    """A configuration and its replicates.

    Attributes:
        name: the query that found it.
        config_id: of its recipe.
        folders: of its runs, by seed.
        records: of its runs, by seed.
        diverged: number of further runs, which diverged and have no results.
    """

    name: str
    config_id: str
    folders: dict[int, Path]
    records: dict[int, Record]
    diverged: int = 0

    def values(self, split: str) -> dict[int, float]:
        """Return the accuracies on a split, by seed, of the runs that were evaluated there."""
        return {
            seed: record.metrics[split]["accuracy"]
            for seed, record in self.records.items()
            if record.metrics.get(split, {}).get("accuracy") is not None
        }

    def lacking(self, split: str) -> list[str]:
        """Return the names of the runs that were not evaluated on a split."""
        there = self.values(split)
        return [record.name for seed, record in self.records.items() if seed not in there]

    def has(self, split: str) -> bool:
        """Return whether every run was evaluated on a split."""
        return not self.lacking(split)

    @property
    def selected_on(self) -> str:
        """The split on which its runs made their choices."""
        return next(iter(self.records.values())).selected_on

    @property
    def cost(self) -> dict[str, float]:
        """What one of its runs costs: seconds of training, epochs, operations, parameters."""
        records = list(self.records.values())
        return {
            "seconds": median(map(training_seconds, records)),
            "epochs": median(record.epochs for record in records),
            # One pass forward, two backward: with respect to activations and to weights.
            "training_flops": fmean(
                3 * record.flops_per_example * trained_images(record) for record in records
            ),
            "parameters": records[0].parameters,
        }


def training_seconds(record: Record) -> float:
    """Return a run's training time without compiling, in seconds; in a population, its share.

    Compile time depends on what was compiled before, not on the configuration.
    """
    members = record.population.members if record.population else 1
    return max(0.0, record.seconds.train - record.seconds.compile) / members


def trained_images(record: Record) -> int:
    """Return how many images a run was trained on, each counted as often as it was shown."""
    return record.epochs * int(record.metrics.get("train", {}).get("n", 0))


def right(folder: Path, split: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the images of a split, int64 [n], in order, and whether a run gets each one right.

    Raises:
        RunError: if its predictions are missing or damaged.
    """
    predictions = store.read_predictions(folder, split)
    order = np.argsort(predictions["index"], kind="stable")
    answers = metrics.predicted_classes(predictions["probabilities"])
    return predictions["index"][order], (answers == predictions["labels"])[order]


def find_sides(runs_dir: Path, queries: Sequence[str]) -> list[Side]:
    """Return the configurations that queries name.

    Each is a run (its name, a unique prefix, a path, ``last``), a group, a ``config_id``, a glob of
    run names in quotes, ``STUDY/VARIANT``, the final runs of a variant of a study, or a study: all
    its variants.

    Raises:
        RunError: if nothing matches, if a query matches several configurations, or if the data
            sets differ.
    """
    known = _records(runs_dir)
    sides = []
    for query in queries:
        if store.NAME.fullmatch(query) and store.is_study(runs_dir / query):
            sides += _variants(runs_dir / query)
        else:
            sides.append(_side(runs_dir, known, query))
    _check_same_data([record for side in sides for record in side.records.values()])
    return sides


def _check_same_data(records: Sequence[Record]) -> None:
    """Refuse runs on different images; one folder at several image sizes is one data set."""
    first = records[0]
    known = first.data_ids
    # An older record only has the identity of the images as they were decoded.
    known = known.union(*(r.data_ids for r in records if r.data_ids & known))
    other = next((r for r in records if not r.data_ids & known and r.data_ids), None)
    if other is not None:
        raise RunError(
            f"these runs were trained on different data ({first.data_title} in {first.name},"
            f" {other.data_title} in {other.name}): accuracies on different images cannot be"
            " compared"
        )


def _records(runs_dir: Path, strict: bool = False) -> list[tuple[Path, Record]]:
    known = []
    for folder in store.folders(runs_dir):
        try:
            known.append((folder, store.read_record(folder)))
        except RunError:
            if strict:  # otherwise a seed would be missing silently
                raise
            continue  # `mlplab runs` lists it
    return known


def _variants(folder: Path) -> list[Side]:
    runs = _records(folder / layout.FINALS, strict=True)
    variants = list(dict.fromkeys(record.group or "" for _, record in runs))
    if not variants:
        raise RunError(f"{folder.name} is a study without final runs: there is nothing to compare")
    return [
        side(variant, [(path, record) for path, record in runs if record.group == variant])
        for variant in variants
    ]


def _side(runs_dir: Path, known: list[tuple[Path, Record]], query: str) -> Side:
    study, _, variant = query.partition("/")
    if variant and store.is_study(runs_dir / study):
        runs = _records(runs_dir / study / layout.FINALS, strict=True)
        if not any(record.group == variant for _, record in runs):
            raise RunError(f"{query}: the study has no final runs of a variant of that name")
        return side(
            variant, [(folder, record) for folder, record in runs if record.group == variant]
        )
    for fits in (
        lambda folder, record: record.name == query,
        lambda folder, record: record.group == query,
        lambda folder, record: record.config_id == query,
        lambda folder, record: fnmatchcase(record.name, query),
    ):
        found = [(folder, record) for folder, record in known if fits(folder, record)]
        if found:
            return side(query, found)
    folder = store.find(runs_dir, query)
    return side(folder.name, [(folder, store.read_record(folder))])


def side(name: str, found: Sequence[tuple[Path, Record]]) -> Side:
    """Gather the finished runs of one configuration; of two with the same seed the later counts.

    Raises:
        RunError: if none has finished, or if they belong to several configurations.
    """
    finished = [(folder, record) for folder, record in found if record.status == "finished"]
    if not finished:
        raise RunError(f"{name}: none of its runs has finished")
    ids = sorted({record.config_id for _, record in finished})
    if len(ids) > 1:
        raise RunError(
            f"{name} is {len(ids)} configurations, not one; name them by their config_id:"
            f" {', '.join(ids[:6])}{' …' if len(ids) > 6 else ''}"
        )
    finished.sort(key=lambda pair: pair[1].started)
    return Side(
        name,
        ids[0],
        {record.seed: folder for folder, record in finished},
        {record.seed: record for _, record in finished},
        sum(record.status == "diverged" and record.config_id == ids[0] for _, record in found),
    )
