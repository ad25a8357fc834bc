"""Features: what the fixed part of a network makes of images, computed once and kept on disk.

A new head on a network that is not trained itself sees the same features of an image in every
epoch. Only the head is then trained, on them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import files
from mlplab.config import Recipe
from mlplab.data import Dataset, Split, Splits
from mlplab.data.cache import cache_dir, make_private
from mlplab.errors import StorageError
from mlplab.families import Pretrained
from mlplab.models.pretrained import FEATURES

BATCH = 100  # images at a time
KEPT = 8  # files of features that are kept, those used last

Note = Callable[[str], None]
Features = NDArray[np.float32]


def apply(recipe: Recipe) -> bool:
    """Say whether a recipe trains a new head alone, on images that are always the same."""
    fixed = isinstance(recipe.model, Pretrained) and recipe.model.trainable == 0
    return fixed and recipe.augment == type(recipe.augment)() and recipe.teacher is None


def known(
    recipe: Recipe, model: keras.Model, dataset: Dataset, splits: Splits, note: Note
) -> dict[str, Features]:
    """Return the features of the splits "train" and "validation", where :func:`apply` says so."""
    if not apply(recipe):
        return {}
    parts = {"train": splits.train, "validation": splits.validation}
    return {name: extracted(model, part, dataset.data_id, note) for name, part in parts.items()}


def head(model: keras.Model) -> keras.Model:
    """Return the part of a network behind its features; it has the network's own layers."""
    layers = model.layers
    behind = layers[[layer.name for layer in layers].index(FEATURES) + 1 :]
    x = features = keras.Input(model.get_layer(FEATURES).output.shape[1:], name=FEATURES)
    for layer in behind:
        x = layer(x)
    return keras.Model(features, x, name="head")


def extracted(model: keras.Model, split: Split, data_id: str, note: Note) -> Features:
    """Return the features of a split, float32 [n, features], from the cache where they are there.

    Args:
        model: with a layer ``features``.
        split: whose images.
        data_id: of their data set.
        note: told what takes the time, and of a cache that cannot be written.
    """
    extractor = keras.Model(model.input, model.get_layer(FEATURES).output)
    digest = hashlib.sha256(data_id.encode())
    digest.update(np.ascontiguousarray(split.index).data)
    digest.update(repr([layer.get_config() for layer in extractor.layers]).encode())
    for weight in extractor.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    folder = cache_dir() / "features"
    path = folder / f"{digest.hexdigest()}.npz"
    known = _read(path, (len(split), extractor.output.shape[1]))
    if known is not None:
        return known
    note(f"the features of {len(split):,} images are computed")
    found = np.asarray(extractor.predict(split.images, batch_size=BATCH, verbose=0), np.float32)
    try:
        make_private(folder)
        with files.atomic(path) as file:
            np.savez(file, allow_pickle=False, features=found)
        _tidy(folder)
    except (OSError, StorageError) as error:
        note(f"the features were not kept, so the next start computes them again: {error}")
    return found


def _read(path: Path, shape: tuple[int, ...]) -> Features | None:
    try:
        found: Any = files.arrays(path)["features"]
    except Exception:  # not there, or damaged
        return None
    path.touch()
    return found if found.shape == shape and found.dtype == np.float32 else None


def _tidy(folder: Path) -> None:
    """Remove what has been unused for longest."""
    known = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in known[KEPT:]:
        path.unlink(missing_ok=True)
