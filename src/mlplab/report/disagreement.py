"""What one configuration gets right and another does not, image by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RunError
from mlplab.report.configurations import Side
from mlplab.runs import store
from mlplab.statistics import metrics

MAJORITY = 0.5
"""A side gets an image right if more than this share of its runs do."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where two configurations differ on a split.

    Attributes:
        first, second: their names.
        index: int64 [n], positions in the published split, ascending.
        labels: int32 [n].
        right: float64 [2, n], the share of each side's runs that get an image right.
        said: int64 [2, n], the class that most of each side's runs predict; of ties the first.
    """

    first: str
    second: str
    index: NDArray[np.int64]
    labels: NDArray[np.int32]
    right: NDArray[np.float64]
    said: NDArray[np.int64]

    def turned(self) -> "Disagreement":
        """Return the same with the two sides swapped."""
        right, said = self.right[::-1], self.said[::-1]
        return Disagreement(self.second, self.first, self.index, self.labels, right, said)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return numbers of images by class and by which side gets them right, int64 [classes, 4].

        Columns: both, only the first, only the second, neither; by majority of the runs.
        """
        one, other = self.right > MAJORITY
        found = np.zeros((classes, 4), np.int64)
        for column, mask in enumerate((one & other, one & ~other, ~one & other, ~one & ~other)):
            found[:, column] = np.bincount(self.labels[mask], minlength=classes)
        return found

    def only_first(self) -> NDArray[np.int64]:
        """Return the positions of images that only the first gets right, the clearest first."""
        apart = self.right[0] - self.right[1]
        mask = (self.right[0] > MAJORITY) & (self.right[1] <= MAJORITY)
        places = np.flatnonzero(mask)
        return places[np.argsort(-apart[places], kind="stable")]


def disagreement(first: Side, second: Side, split: str) -> Disagreement:
    """Return where two configurations differ on a split.

    Raises:
        RunError: if predictions are missing or damaged, or for different images.
    """
    sides = [_votes(side, split) for side in (first, second)]
    for index, labels, _ in sides[1:]:
        if not (np.array_equal(index, sides[0][0]) and np.array_equal(labels, sides[0][1])):
            raise RunError(f"{first.name} and {second.name} were evaluated on different images")
    index, labels, _ = sides[0]
    votes = [share for _, _, share in sides]
    places = np.arange(len(labels))
    return Disagreement(
        first.name,
        second.name,
        index,
        labels,
        np.stack([share[places, labels] for share in votes]),
        np.stack([share.argmax(axis=1) for share in votes]),
    )


def _votes(
    side: Side, split: str
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return a split's images and labels, and the share of runs for each class [n, classes].

    Images on which not all runs were evaluated are left out: seeds have different validation
    images.
    """
    runs = []
    for folder in side.folders.values():
        found = store.read_predictions(folder, split)
        order = np.argsort(found["index"], kind="stable")
        answers = metrics.predicted_classes(found["probabilities"])
        runs.append((found["index"][order], found["labels"][order], answers[order]))
    classes = max(len(record.class_names) for record in side.records.values())
    common = runs[0][0]
    for index, _, _ in runs[1:]:
        common = np.intersect1d(common, index)
    if not len(common):
        raise RunError(f"the runs of {side.name} have no image of {split} in common")
    shares = np.zeros((len(common), classes))
    for index, _, answers in runs:
        places = np.searchsorted(index, common)
        shares[np.arange(len(common)), answers[places]] += 1 / len(runs)
    index, labels, _ = runs[0]
    return common, labels[np.searchsorted(index, common)].astype(np.int32), shares
