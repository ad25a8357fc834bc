"""Features: the output of a network's frozen part, computed once and kept on disk.

A new head on a frozen network sees the same features of an image in every epoch, so only the head
is trained, on the features.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab import files
from mlplab.cache import cache_dir, make_private, mark_used, tidy
from mlplab.data import Splits
from mlplab.errors import StorageError
from mlplab.experiment import environment
from mlplab.models.footprint import evaluation_batch
from mlplab.models.parts import FEATURES
from mlplab.recipes.recipe import Augment, Recipe

BATCH = 100  # images at a time
KEPT = 20  # files of features to keep, those used last: two per run

Note = Callable[[str], None]
Features = NDArray[np.float32]


def is_head_only(recipe: Recipe) -> bool:
    """Return whether a recipe trains only a new head, on images that are always the same."""
    return recipe.model.trains_head_only and recipe.augment == Augment() and recipe.teacher is None


def for_splits(
    recipe: Recipe, model: keras.Model, splits: Splits, note: Note
) -> dict[str, Features]:
    """Return the features of the splits "train" and "validation", if only the head is trained."""
    if not is_head_only(recipe):
        return {}
    parts = {"train": splits.train, "validation": splits.validation}
    return {name: extracted(model, part.images, note) for name, part in parts.items()}


def head(model: keras.Model) -> keras.Model:
    """Return the part of a network after its features; it shares the network's layers."""
    layers = model.layers
    behind = layers[[layer.name for layer in layers].index(FEATURES) + 1 :]
    x = features = keras.Input(model.get_layer(FEATURES).output.shape[1:], name=FEATURES)
    for layer in behind:
        x = layer(x)
    return keras.Model(features, x, name="head")


def extracted(model: keras.Model, images: NDArray[np.uint8], note: Note) -> Features:
    """Return the features of images, float32 [n, features], from the cache if it has them.

    Args:
        model: with a layer ``features``.
        images: uint8 [n, height, width, channels].
        note: called with what takes the time, and if the cache cannot be written.
    """
    # Named: Keras would number it, and a second head in this process would not find the features.
    extractor = keras.Model(model.input, model.get_layer(FEATURES).output, name=FEATURES)
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    how = [environment.versions(), jax.default_backend(), extractor.get_config()]
    digest.update(json.dumps(how, sort_keys=True, default=str).encode())
    for weight in extractor.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    folder = cache_dir() / "features"
    path = folder / f"{digest.hexdigest()}.npz"
    kept = _read(path, (len(images), extractor.output.shape[1]))
    if kept is not None:
        return kept
    note(f"computing the features of {len(images):,} images; the next run will reuse them")
    size = min(BATCH, evaluation_batch(extractor))
    found = np.asarray(extractor.predict(images, batch_size=size, verbose=0), np.float32)
    try:
        make_private(folder)
        with files.atomic(path) as file:
            np.savez(file, allow_pickle=False, features=found)
        tidy(folder, KEPT)
    except (OSError, StorageError) as error:
        note(f"the features were not cached, so the next run computes them again: {error}")
    return found


def _read(path: Path, shape: tuple[int, ...]) -> Features | None:
    try:
        found: Any = files.arrays(path)["features"]
    except Exception:  # missing, or damaged
        return None
    mark_used(path)
    return found if found.shape == shape and found.dtype == np.float32 else None
