"""The splits of a data set for training and evaluation, and how to find their images again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlplab import data
from mlplab.data import Dataset, Splits
from mlplab.errors import RunError
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run


def split(dataset: Dataset, recipe: Recipe) -> Splits:
    """Split a data set as a recipe and its seed say."""
    settings = recipe.data
    return data.split(dataset, settings.validation, recipe.seed, settings.share)


def measured_images(
    run: Run, split: str, data_dir: Path | None
) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    """Return the function from positions in a run's published split to its images.

    Args:
        run: the evaluated run.
        split: "test", or anything else for the published training split.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.

    Raises:
        DataError: if the data set is missing or damaged.
        RunError: if it is not the one that the run was evaluated on.
    """
    record = run.record
    dataset = data.load(run.recipe.data, data_dir, lambda text: None)
    if dataset.data_id != record.data_id:
        raise RunError(
            f"the data set {record.data} found here is not the one that {run.name} was evaluated"
            " on; point --data-dir at that one"
        )
    source = dataset.test if split == "test" else dataset.train
    order = source.index.argsort()

    def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return source.images[order[source.index[order].searchsorted(index)]]

    return images
