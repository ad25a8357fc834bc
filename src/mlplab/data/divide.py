"""A data set of the user's own images from the parts that it is laid out in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlplab.data.channels import Channels, in_channels
from mlplab.data.dataset import Dataset, Split, assemble
from mlplab.data.splits import hold_out

TEST_SEED = 0
"""Fixed: the choice of test images is a property of the data set, not of an experiment."""

Value = TypeVar("Value")


def divided(
    name: str,
    class_names: tuple[str, ...],
    parts: Mapping[str, Split],
    share: float,
    channels: Channels,
    skipped: tuple[str, ...] = (),
    groups: NDArray[np.int64] | None = None,
) -> Dataset:
    """Return the data set of these parts.

    Args:
        name: of the data set.
        class_names: the meaning of the labels.
        parts: ``train`` and, where they are published, ``validation`` and ``test``; in each,
            ``index`` counts its images.
        share: of the training images of each class that is held out for testing if there is no
            ``test``.
        channels: of the images, see :func:`in_channels`.
        skipped: the files that could not be read.
        groups: int64, the group of each training image, those of ``validation`` after the others.

    Raises:
        DataError: a class, or the number of its groups, is too small.
    """
    images = in_channels({role: part.images for role, part in parts.items()}, channels)
    splits = {role: replace(part, images=images[role]) for role, part in parts.items()}
    train = splits["train"]
    if "test" in splits:
        test = splits["test"]
    else:
        own = None if groups is None else groups[train.index]
        kept, out = hold_out(train.labels, share, TEST_SEED, class_names, ("train", "test"), own)
        train, test = train.take(kept), train.take(out)
    validation = None
    if "validation" in splits:
        validation = splits["validation"].index + len(parts["train"])
        train = _joined(train, replace(splits["validation"], index=validation))
    return assemble(name, class_names, train, test, skipped, validation, groups)


def by_index(parts: Mapping[str, Sequence[Value]]) -> dict[str, tuple[Value, ...]]:
    """Return what is known of each image of the parts, for ``train`` and ``test``, by ``index``."""
    train = tuple(parts["train"])
    test = tuple(parts.get("test", train))
    return {"train": (*train, *parts.get("validation", ())), "test": test}


def _joined(first: Split, second: Split) -> Split:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Split(*(np.concatenate(pair) for pair in pairs))
