import numpy as np
from sklearn.datasets import load_digits

from mlplab.data import load
from mlplab.data.info import describe
from mlplab.recipes.recipe import Data


def test_digits_are_spread_over_eight_bits() -> None:
    dataset = load(Data(name="digits", test=0.2))
    assert dataset.train.images.shape[1:] == (8, 8, 1)
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)
    bunch = load_digits()
    for split in (dataset.train, dataset.test):
        assert np.abs(split.images[..., 0] / 255 * 16 - bunch.images[split.index]).max() < 0.04
        assert (split.labels == bunch.target[split.index]).all()


def test_the_test_images_are_always_the_same_stratified_share() -> None:
    first, again = (load(Data(name="digits", test=0.25)) for _ in range(2))
    assert (first.test.index == again.test.index).all()
    assert not set(first.test.index) & set(first.train.index)
    share = np.bincount(first.test.labels) / np.bincount(load_digits().target)
    assert np.abs(share - 0.25).max() < 0.005


def test_describe_counts_images_by_class() -> None:
    facts = describe(load(Data(name="digits")))
    assert facts["image_shape"] == [8, 8, 1]
    assert facts["classes"] == list("0123456789")
    assert sum(facts["splits"]["train"]["per_class"].values()) == facts["splits"]["train"]["images"]
    assert facts["splits"]["train"]["images"] + facts["splits"]["test"]["images"] == 1797
