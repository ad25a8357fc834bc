"""What a run finds out about its images: repeated ones, and labels to look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.data import Dataset, Splits
from mlplab.data.repeats import shared
from mlplab.report.formatting import percent
from mlplab.statistics.label_errors import candidates, far_errors

LISTED = 20
"""Images of each kind that a record names."""


def repeated(dataset: Dataset, splits: Splits) -> dict[str, dict[str, Any]]:
    """Return which held-out images are also training images, by split.

    Splits without such images are left out. For the others: ``images``, how many there are;
    ``share`` of the split; ``other_class``, how many are of another class in training; ``pairs``,
    the names of up to 20 of them, each with that of the training image.
    """
    found: dict[str, dict[str, Any]] = {}
    if dataset.repeats is None or not len(dataset.repeats):
        return found
    for name in _held_out(splits):
        split = getattr(splits, name)
        tests = name == "test"
        pairs = shared(dataset.repeats, splits.train.index, split.index, tests)
        if not pairs:
            continue
        labels = dict(zip(split.index.tolist(), split.labels.tolist(), strict=True))
        trained = dict(zip(splits.train.index.tolist(), splits.train.labels.tolist(), strict=True))
        found[name] = {
            "images": len(pairs),
            "share": len(pairs) / len(split),
            "other_class": sum(labels[one] != trained[other] for one, other in pairs),
            "pairs": [
                [_name(dataset, name, one), _name(dataset, "train", other)]
                for one, other in pairs[:LISTED]
            ],
        }
    return found


def note_of(found: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the note about repeated images, or ``None`` if there are none."""
    if not found:
        return None
    texts = [
        f"{facts['images']:,} of the {split} images ({percent(facts['share'])})"
        for split, facts in found.items()
    ]
    one, other = next(iter(found.values()))["pairs"][0]
    return (
        f"also in the training images, pixel for pixel: {' and '.join(texts)}, such as {one},"
        f" which is {other}; accuracy on them does not show what the network does with new images"
    )


def label_candidates(
    dataset: Dataset, splits: Splits, predictions: Mapping[str, NDArray[np.float32]]
) -> dict[str, dict[str, Any]]:
    """Return held-out images whose labels the network doubts, by split.

    For each split that was evaluated: ``images``, how many there are, and ``listed``, up to 20 of
    them, those with the lowest probability of their label first: ``image`` (its file or position),
    ``label``, ``predicted``, ``label_probability`` and ``predicted_probability``. ``wrong``, how
    many are predicted as another class than their label, and ``far``, of how many of these the
    label is in the lower half of the network's ranking.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in _held_out(splits):
        if name not in predictions:
            continue
        probabilities, split = predictions[name], getattr(splits, name)
        places = candidates(probabilities, split.labels).tolist()
        rows = []
        for place in places[:LISTED]:
            label, best = int(split.labels[place]), int(probabilities[place].argmax())
            rows.append(
                {
                    "image": _name(dataset, name, int(split.index[place])),
                    "label": dataset.class_names[label],
                    "predicted": dataset.class_names[best],
                    "label_probability": float(probabilities[place, label]),
                    "predicted_probability": float(probabilities[place, best]),
                }
            )
        far = far_errors(probabilities, split.labels)
        found[name] = {
            "images": len(places),
            "listed": rows,
            "wrong": len(far),
            "far": int(far.sum()),
        }
    return found


def _held_out(splits: Splits) -> list[str]:
    """Return the names of the held-out splits, a validation split that is the test split once."""
    return ["test"] if splits.validation is splits.test else ["validation", "test"]


def _name(dataset: Dataset, split: str, index: int) -> str:
    return dataset.image_name("test" if split == "test" else "train", index)
