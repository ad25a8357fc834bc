"""The images that every contestant gets, as .npy files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import data
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

QUICK_IMAGES = 6_464  # training images; 101 batches of 64


def write(
    folder: Path, quick: bool = False, stand_in: bool = False, images: int | None = None
) -> str:
    """Write CIFAR-10 as ``x_train.npy``, ``y_train.npy`` and the same for test; describe the data.

    Args:
        folder: an existing folder.
        quick: whether to write few training images.
        stand_in: if CIFAR-10 is not available, use random images of the same size; enough if only
            the arithmetic matters.
        images: how many training images, the first; by default all.
    """
    arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    try:
        dataset = data.load(Data(name="cifar10"))
        train, test = dataset.train, dataset.test
        arrays = {"train": (train.images, train.labels), "test": (test.images, test.labels)}
        source = "CIFAR-10"
    except DataError as error:
        if not stand_in:
            raise SystemExit(f"error: {error}") from None
        rng = np.random.default_rng(0)
        for name, n in (("train", 50_000), ("test", 10_000)):
            drawn = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
            arrays[name] = drawn, rng.integers(0, 10, n)
        source = "random images"
    few = QUICK_IMAGES if quick else images
    for name, (pixels, labels) in arrays.items():
        kept = few if name == "train" else None
        np.save(folder / f"x_{name}.npy", pixels[:kept])
        np.save(folder / f"y_{name}.npy", labels[:kept].astype(np.int32))
    return f"{few:,} images of {source}" if few else source
