"""A summary of a data set in numbers."""

from typing import Any

import numpy as np

from mlplab.data.dataset import Dataset


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return a data set's facts in values that JSON can hold.

    Keys: ``name``, ``classes`` (names), ``image_shape`` (height, width, channels), ``splits`` (for
    ``train`` and ``test``: ``images`` and ``per_class``, counts by class name), ``data_id``
    and ``source_id`` (see :class:`Dataset`), ``skipped`` (files that could not be read).
    """
    splits = {}
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        counts = np.bincount(split.labels, minlength=len(dataset.class_names)).tolist()
        per_class = dict(zip(dataset.class_names, counts, strict=True))
        splits[name] = {"images": len(split), "per_class": per_class}
    return {
        "name": dataset.name,
        "classes": list(dataset.class_names),
        "image_shape": list(dataset.train.images.shape[1:]),
        "splits": splits,
        "data_id": dataset.data_id,
        "source_id": dataset.source_id,
        "skipped": list(dataset.skipped),
    }
