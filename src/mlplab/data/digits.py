"""The handwritten digits that come with scikit-learn: always available without a download."""

from pathlib import Path

import numpy as np

from mlplab.data.cache import Warn
from mlplab.data.dataset import Dataset, assemble, whole
from mlplab.data.splits import hold_out
from mlplab.recipes.recipe import Data

TEST_SEED = 0
"""Fixed: the choice of test images is a property of the data set, not of an experiment."""


def load(settings: Data, data_dir: Path | None, warn: Warn) -> Dataset:
    """Return 1,797 grey images of 8×8 in 10 classes, ``settings.test`` of them for testing.

    The source counts ink in 17 steps from 0 to 16; they are spread over 0 to 255.
    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    from sklearn.datasets import load_digits  # takes half a second, so only if needed

    bunch = load_digits()
    images = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)
    everything = whole(images, bunch.target.astype(np.int32))
    class_names = tuple(str(name) for name in bunch.target_names)
    parts = ("train", "test")
    kept, tested = hold_out(everything.labels, settings.test, TEST_SEED, class_names, parts)
    return assemble("digits", class_names, everything.take(kept), everything.take(tested))
