"""Stratified, seeded splits, and what an uneven one needs: class weights."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlplab.data.dataset import Dataset, Split, Splits
from mlplab.data.folds import folds_of
from mlplab.data.groups import groups_held_out
from mlplab.errors import DataError


def split(
    dataset: Dataset,
    validation: float | Literal["test"],
    seed: int,
    share: float = 1.0,
    fold: tuple[int, int] | None = None,
) -> Splits:
    """Hold validation images out of the training split.

    A validation split that was published with the data set is used as it is. Images of one group
    stay together.

    Args:
        dataset: the data set as published.
        validation: the share of every class that is held out, or ``"test"``: then the validation
            split *is* the test split and all training images are trained on, as the published
            experiment did.
        seed: decides which images are held out; the same seed holds out the same ones.
        share: share of every class's remaining images to train on.
        fold: which of how many folds is held out instead, from 1, also where a validation split was
            published. The seed decides the folds.

    Raises:
        DataError: a class has fewer than two training images, or fewer than there are folds.
    """
    names = dataset.class_names
    if fold is not None:
        return _fold(dataset, *fold, seed, share)
    published = dataset.validation
    if published is None and validation == "test":
        return Splits(_part(dataset.train, share, seed, names), dataset.test, dataset.test)
    if published is None:
        labels, parts = dataset.train.labels, ("train", "validation")
        groups = None if dataset.groups is None else dataset.groups[dataset.train.index]
        kept, held_out = hold_out(labels, float(validation), seed, names, parts, groups)
    else:
        is_held_out = np.isin(dataset.train.index, published)
        kept, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    train = _part(dataset.train.take(kept), share, seed, names)
    if validation == "test":
        return Splits(train, dataset.test, dataset.test)
    return Splits(train, dataset.train.take(held_out), dataset.test)


def _fold(dataset: Dataset, number: int, folds: int, seed: int, share: float) -> Splits:
    train, names = dataset.train, dataset.class_names
    groups = None if dataset.groups is None else dataset.groups[train.index]
    is_held_out = folds_of(train.labels, folds, seed, names, groups) == number - 1
    kept = train.take(np.flatnonzero(~is_held_out))
    held_out = train.take(np.flatnonzero(is_held_out))
    return Splits(_part(kept, share, seed, names), held_out, dataset.test)


def _part(train: Split, share: float, seed: int, class_names: Sequence[str]) -> Split:
    if share == 1:
        return train
    return train.take(
        hold_out(train.labels, share, seed, class_names, ("train", "what is left"))[1]
    )


def hold_out(
    labels: NDArray[np.int32],
    share: float,
    seed: int,
    class_names: Sequence[str],
    parts: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a share of every class at random.

    Each class gives ``share`` of its images, rounded, but at least one, and keeps at least one. If
    there are groups, whole groups are chosen, and the share of a class is met as far as they allow.

    Args:
        labels: int [n].
        share: between 0 and 1.
        seed: decides the choice.
        class_names: the meaning of the labels; a class without images is refused as well.
        parts: all parts into which the images are divided in the end, for the message: a class
            must have an image for each part.
        groups: int64 [n], images that stay together; by default each may go by itself.

    Returns:
        The positions kept and the positions held out, int64, each ascending, so that both parts
        keep the published order.

    Raises:
        DataError: a class is too small.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    check_sizes(counts, class_names, parts)
    if groups is not None:
        return groups_held_out(labels, groups, share, seed, class_names, parts)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(counts):
        number = min(max(int(share * count + 0.5), 1), int(count) - 1)
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:number]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def check_sizes(
    counts: NDArray[np.int64], class_names: Sequence[str], parts: Sequence[str]
) -> None:
    """Refuse classes with fewer images than ``parts``, with their numbers.

    Raises:
        DataError: a class is too small.
    """
    small = [
        f"'{name}' has {count}"
        for name, count in zip(class_names, counts, strict=True)
        if count < len(parts)
    ]
    if small:
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        raise DataError(
            f"too few images for the splits {', '.join(parts)}: every class needs at least "
            f"{len(parts)}, but {', '.join(small[:5])}{more}.\n"
            "Add images to these classes, or leave the classes out."
        )


def class_weights(labels: NDArray[np.int32], classes: int) -> NDArray[np.float32]:
    """Return class weights with which all classes count the same in a loss.

    ``n / (classes * n_of_the_class)``, scikit-learn's ``balanced`` (King and Zeng, "Logistic
    Regression in Rare Events Data", 2001). A class without images has weight 0.

    Args:
        labels: int [n].
        classes: how many classes there are.

    Returns:
        float32 [classes].
    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(classes, dtype=np.float32)
    present = counts > 0
    weights[present] = len(labels) / (classes * counts[present])
    return weights
