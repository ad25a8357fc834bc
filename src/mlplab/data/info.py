"""A summary of a data set in numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab.data.dataset import Dataset
from mlplab.data.repeats import shared


def labels_by_split(dataset: Dataset) -> dict[str, NDArray[np.int32]]:
    """Return the labels of the splits that a data set was published in, int32 [n]."""
    train, test = dataset.train.labels, dataset.test.labels
    if dataset.validation is None:
        return {"train": train, "test": test}
    held_out = np.isin(dataset.train.index, dataset.validation)
    return {"train": train[~held_out], "validation": train[held_out], "test": test}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return a data set's facts in values that JSON can hold.

    Keys: ``name``, ``classes`` (names), ``image_shape`` (height, width, channels), ``splits`` (for
    ``train``, ``test`` and, if it was published, ``validation``: ``images`` and ``per_class``,
    counts by class name), ``data_id`` and ``source_id`` (see :class:`Dataset`), ``skipped`` (files
    that could not be read), ``repeated`` (test images that are also in training).
    """
    splits = {}
    for name, labels in labels_by_split(dataset).items():
        counts = np.bincount(labels, minlength=len(dataset.class_names)).tolist()
        per_class = dict(zip(dataset.class_names, counts, strict=True))
        splits[name] = {"images": len(labels), "per_class": per_class}
    return {
        "name": dataset.name,
        "classes": list(dataset.class_names),
        "image_shape": list(dataset.train.images.shape[1:]),
        "splits": splits,
        "data_id": dataset.data_id,
        "source_id": dataset.source_id,
        "skipped": list(dataset.skipped),
        "repeated": _repeated(dataset),
    }


def _repeated(dataset: Dataset) -> list[str]:
    if dataset.repeats is None:
        return []
    pairs = shared(dataset.repeats, dataset.train.index, dataset.test.index, tests=True)
    return [dataset.image_name("test", index) for index, _ in pairs]
