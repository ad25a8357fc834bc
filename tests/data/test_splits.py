from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from mlplab.data.dataset import Dataset, assemble, of_classes, whole
from mlplab.data.splits import class_weights, hold_out, split
from mlplab.data.statistics import channel_statistics
from mlplab.errors import DataError


def labelled(counts: list[int]) -> Dataset:
    """Training images whose first pixel is their position, with a number for each class."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    everything = whole(images, labels.astype(np.int32))
    names = tuple(f"class{number}" for number in range(len(counts)))
    return assemble("made", names, everything, everything.take(np.arange(1)))


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_split_is_a_stratified_partition(counts: list[int], share: float, seed: int) -> None:
    dataset = labelled(counts)
    splits = split(dataset, share, seed)
    train, validation = splits.train, splits.validation
    assert sorted([*train.index, *validation.index]) == list(range(sum(counts)))
    for label, count in enumerate(counts):
        held_out = int((validation.labels == label).sum())
        assert 1 <= held_out < count
        assert abs(held_out - share * count) <= 1
    for part in (train, validation):
        assert (part.images.ravel() == part.index).all()
        assert (part.labels == dataset.train.labels[part.index]).all()
        assert (np.diff(part.index) > 0).all()


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=12, max_size=40),
    share=st.floats(0.1, 0.5),
    seed=st.integers(0, 2**31 - 1),
)
def test_groups_stay_together_and_the_shares_are_met_as_far_as_they_allow(
    sizes: list[tuple[int, int]], share: float, seed: int
) -> None:
    sizes += [(label, 5) for label in range(3) for _ in range(4)]  # enough groups of each class
    labels = np.repeat([label for label, _ in sizes], [size for _, size in sizes]).astype(np.int32)
    groups = np.repeat(np.arange(len(sizes)), [size for _, size in sizes])
    kept, held = hold_out(labels, share, seed, "abc", ("train", "test"), groups)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert not set(groups[kept]) & set(groups[held])
    for label in range(3):
        of = labels == label
        largest = max(size for name, size in sizes if name == label)
        assert 0 < of[held].sum() < of.sum()
        assert abs(of[held].sum() - share * of.sum()) <= largest


def test_the_seed_decides() -> None:
    dataset = labelled([50, 50])
    first, again, other = (split(dataset, 0.2, seed).validation.index for seed in (1, 1, 2))
    assert (first == again).all()
    assert len(first) == len(other) == 20
    assert (first != other).any()


def test_validating_on_test_takes_nothing_from_train() -> None:
    dataset = labelled([3, 3])
    splits = split(dataset, "test", 0)
    assert splits.train is dataset.train
    assert splits.validation is splits.test is dataset.test


def test_classes_too_small_to_split_are_named_with_their_numbers() -> None:
    with pytest.raises(DataError, match=r"at least 2, but 'class1' has 1, 'class3' has 0"):
        split(labelled([5, 1, 9, 0]), 0.1, 0)


def test_class_weights_are_scikit_learn_s() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2], np.int32)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels, 3), expected, rtol=1e-6)
    assert class_weights(labels, 4)[3] == 0


def test_channel_statistics_are_numpy_s(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 5, 4, 3), dtype=np.uint8)
    monkeypatch.setattr("mlplab.data.statistics.IMAGES_AT_A_TIME", 32)  # more than one chunk
    mean, variance = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(variance, images.var(axis=(0, 1, 2)))


def test_the_id_follows_every_part_of_the_data() -> None:
    base = labelled([4, 4])
    other_labels = whole(base.train.images, 1 - base.train.labels)
    other_images = whole(base.train.images[:, ::-1] + 1, base.train.labels)
    ids = {
        base.data_id,
        assemble("made", ("a", "b"), base.train, base.test).data_id,
        assemble("made", base.class_names, other_labels, base.test).data_id,
        assemble("made", base.class_names, other_images, base.test).data_id,
        assemble("made", base.class_names, base.train, base.train).data_id,
    }
    assert len(ids) == 5
    assert assemble("other", base.class_names, base.train, base.test).data_id == base.data_id


@pytest.mark.parametrize("validation", [0.2, "test"])
def test_a_share_thins_training_alone_and_keeps_the_classes_shares(
    validation: float | Literal["test"],
) -> None:
    dataset = labelled([40, 80, 100])
    all_of_it, part = (split(dataset, validation, 3, share) for share in (1.0, 0.25))
    counts = [np.bincount(found.train.labels) for found in (all_of_it, part)]
    np.testing.assert_allclose(counts[1], counts[0] / 4, atol=0.51)
    np.testing.assert_array_equal(part.validation.index, all_of_it.validation.index)
    assert set(part.train.index) < set(all_of_it.train.index)


def test_some_classes_are_kept_and_labelled_anew() -> None:
    dataset = labelled([5, 6, 7])
    part = of_classes(dataset, ["class2", "class0"])
    assert part.class_names == ("class0", "class2")
    assert np.bincount(part.train.labels).tolist() == [5, 7]
    old = dataset.train.labels[part.train.index]
    np.testing.assert_array_equal(part.train.labels, np.array([0, -1, 1])[old])
    assert part.data_id != dataset.data_id


@pytest.mark.parametrize("names", [["clas1", "class2"], ["class1"]])
def test_classes_that_do_not_make_a_task_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match=r"data\.classes"):
        of_classes(labelled([5, 6, 7]), names)
