"""Test accuracies of ensembles of the best MLPs: the mean of their members' probabilities.

    python -m benchmarks.mlps train cpu --only mlp-strong

writes docs/results/mlps/ensembles.json when all members of an ensemble have been trained. Members
differ by their seed alone, and so in the images that they leave out for validation; their
ensemble has none of its own, and nothing is chosen by it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.mlps_table import ENSEMBLES
from mlplab.runs import store


class Ensemble(NamedTuple):
    """Groups of seeds of one entry, each of which is an ensemble.

    Attributes:
        name: on the page.
        of: the entry.
        seeds: of the members, ensemble by ensemble.
    """

    name: str
    of: str
    seeds: tuple[tuple[int, ...], ...]


PLANNED = [Ensemble("two of mlp-strong", "mlp-strong", ((0, 1), (2, 3), (4, 5)))]


def write(runs_dir: Path) -> None:
    """Measure the ensembles whose members are all in a runs folder, and keep the others."""
    known = json.loads(ENSEMBLES.read_text()) if ENSEMBLES.exists() else []
    found = {one["name"]: one for one in known}
    for ensemble in PLANNED:
        groups = [
            [runs_dir / f"{ensemble.of}-s{seed}" for seed in seeds] for seeds in ensemble.seeds
        ]
        if all(is_finished(folder) for group in groups for folder in group):
            found[ensemble.name] = {
                "name": ensemble.name,
                "of": ensemble.of,
                "ensembles": [measured(group) for group in groups],
            }
    if found:
        ENSEMBLES.write_text(json.dumps(list(found.values()), indent=1) + "\n")


def is_finished(folder: Path) -> bool:
    """Return whether a run is there and has ended."""
    return folder.exists() and store.read_record(folder).status == "finished"


def measured(folders: Sequence[Path]) -> dict[str, Any]:
    """Return an ensemble's accuracies on test, its members and what they cost together."""
    records = [store.read_record(folder) for folder in folders]
    predictions = [store.read_predictions(folder, "test") for folder in folders]

    def accuracy(of: str) -> float:
        together = np.mean([one[of] for one in predictions], axis=0)
        return float((together.argmax(axis=1) == predictions[0]["labels"]).mean())

    return {
        "members": [folder.name for folder in folders],
        "test": accuracy("probabilities"),
        "test_over_views": accuracy("probabilities_tta"),
        "parameters": sum(record.parameters for record in records),
        "flops_per_example": sum(record.flops_per_example for record in records),
        "training_seconds": sum(record.seconds.train for record in records),
    }
