"""Images dealt into folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplab.data.dataset import assemble, whole
from mlplab.data.folds import folds_of
from mlplab.data.splits import split
from mlplab.errors import DataError

NAMES = ("a", "b", "c")


@given(
    counts=st.lists(st.integers(5, 40), min_size=3, max_size=3),
    folds=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_every_fold_has_its_share_of_every_class(counts: list[int], folds: int, seed: int) -> None:
    labels = np.repeat(np.arange(3, dtype=np.int32), counts)
    found = folds_of(labels, folds, seed, NAMES)
    assert set(found.tolist()) == set(range(folds))
    assert np.ptp(np.bincount(found)) <= 1
    for label in range(3):
        assert np.ptp(np.bincount(found[labels == label], minlength=folds)) <= 1
    assert (found == folds_of(labels, folds, seed, NAMES)).all()


def test_groups_stay_together_and_folds_stay_even() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 40, 400)
    labels = (groups % 3).astype(np.int32)
    found = folds_of(labels, 5, 0, NAMES, groups)
    assert all(len(set(found[groups == group].tolist())) == 1 for group in range(40))
    assert np.ptp(np.bincount(found)) < 40


def test_groups_of_one_image_are_dealt_as_evenly_as_images() -> None:
    labels = np.repeat(np.arange(20, dtype=np.int32), 6)
    names = [str(label) for label in range(20)]
    found = folds_of(labels, 5, 0, names, np.arange(120))
    assert np.bincount(found).tolist() == [24] * 5


@pytest.mark.parametrize(("groups", "said"), [(None, "images"), ([1, 1, 1, 1, 2, 2, 2], "groups")])
def test_a_class_that_cannot_be_in_every_fold_is_refused(
    groups: list[int] | None, said: str
) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1], np.int32)
    known = None if groups is None else np.array(groups)
    with pytest.raises(DataError, match=f"too few {said} for 4 folds"):
        folds_of(labels, 4, 0, ("a", "b"), known)


def test_each_training_image_is_held_out_once_and_no_test_image_is() -> None:
    labels = np.tile(np.arange(3, dtype=np.int32), 10)
    images = np.zeros((30, 2, 2, 1), np.uint8)
    some = whole(images[:6], labels[:6])
    published = np.arange(5)  # which does not matter
    dataset = assemble("x", NAMES, whole(images, labels), some, validation=published)
    parts = [split(dataset, 0.1, 0, fold=(fold, 5)) for fold in range(1, 6)]
    held_out = np.concatenate([part.validation.index for part in parts])
    assert sorted(held_out.tolist()) == list(range(30))
    for part in parts:
        assert sorted([*part.train.index, *part.validation.index]) == list(range(30))
        assert part.test is dataset.test
