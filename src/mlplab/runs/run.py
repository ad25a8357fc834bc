"""A run as an object: its record, and its files on demand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import files, recipes
from mlplab.errors import RecipeError, RunError
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, store
from mlplab.runs.record import Record


@dataclass(frozen=True)
class Run:
    """A run folder, read on demand."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def record(self) -> Record:
        """The facts of ``record.json``."""
        return store.read_record(self.folder)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """By split: accuracy with its Wilson interval, loss, calibration error and more."""
        return self.record.metrics

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate, seconds."""
        return files.read_lines(self.folder / layout.METRICS)

    @property
    def recipe(self) -> Recipe:
        """The complete recipe; training it again gives the same result."""
        with self._own_recipe() as path:
            return recipes.load(path)

    @property
    def recipe_text(self) -> str:
        """The complete recipe as TOML text."""
        with self._own_recipe() as path:
            return recipes.text(path)

    @contextmanager
    def _own_recipe(self) -> Iterator[str]:
        try:
            yield str(self.folder / layout.RECIPE)
        except RecipeError as error:
            raise RunError(f"{self.name}: {error}") from None

    def predictions(self, split: str) -> dict[str, NDArray[np.generic]]:
        """Return ``probabilities`` float32 [n, classes], ``labels`` [n] and ``index`` [n].

        With test-time augmentation there is ``probabilities_tta``, float32 [n, classes], as well;
        if the images are files of the user's, ``files``, str [n].

        Raises:
            RunError: if there is no such split, or it was not evaluated.
        """
        return store.read_predictions(self.folder, split)
