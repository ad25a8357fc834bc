"""The splits of a data set for training and evaluation, and how to find their images again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlplab import data
from mlplab.data import Dataset, Split, Splits
from mlplab.errors import DataError
from mlplab.experiment.paths import absolute, as_recorded, is_file
from mlplab.recipes.recipe import Recipe
from mlplab.runs.record import Record
from mlplab.runs.run import Run


def split(dataset: Dataset, recipe: Recipe) -> Splits:
    """Split a data set as a recipe and its seed say."""
    settings = recipe.data
    fold = None if settings.fold is None else (settings.fold[0], settings.fold[1])
    return data.split(dataset, settings.validation, recipe.seed, settings.share, fold)


def data_of(
    run: Run, data_dir: Path | None, data_path: Path | None, warn: Callable[[str], None]
) -> Dataset:
    """Load the data set that a run was trained on.

    Args:
        run: the trained run.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        data_path: where the user's own images are now, if they were moved.
        warn: called with what the user should know.

    Raises:
        DataError: if it is missing or damaged, or is another one.
    """
    record, settings = run.record, run.recipe.data
    wanted = as_recorded(absolute(settings, data_path), record)
    if wanted.path is not None and is_file(wanted) and not Path(wanted.path).exists():
        raise DataError(
            f"{run.name} was trained on the images in {settings.path}, and there is no such folder"
            " or file here; say where they are now with --data-path"
        )
    dataset = data.load(wanted, data_dir, warn)
    if not {dataset.data_id, dataset.source_id} & record.data_ids:
        where = "--data-path" if wanted.path else "--data-dir"
        raise DataError(
            f"the data set {wanted.path or record.data} found here is not the one that {run.name}"
            f" was trained on (its content differs); point {where} at that one"
        )
    if dataset.data_id != record.data_id:
        warn(
            "the files are those of the training, but their pixels are decoded differently here"
            " (another version of Pillow?): results may differ slightly"
        )
    return dataset


def published_split(dataset: Dataset, record: Record, split: str) -> Split:
    """Return the published split that the images of a run's split were taken from.

    Args:
        dataset: that the run was trained on.
        record: of the run; it says whether it validated on the test split.
        split: "train", "validation" or "test".
    """
    of_test = split == "test" or (split == "validation" and record.selected_on == "test")
    return dataset.test if of_test else dataset.train


def measured_images(
    run: Run, split: str, data_dir: Path | None, data_path: Path | None = None
) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    """Return the function from positions in a run's published split to its images.

    Args:
        run: the evaluated run.
        split: "test", or anything else for the published training split.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        data_path: where the user's own images are now, if they were moved.

    Raises:
        DataError: if the data set is missing or damaged, or is another one.
    """
    dataset = data_of(run, data_dir, data_path, lambda text: None)
    source = published_split(dataset, run.record, split)
    order = source.index.argsort()

    def images(index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return source.images[order[source.index[order].searchsorted(index)]]

    return images
