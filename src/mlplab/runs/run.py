"""A run as an object: its facts, and its files when they are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlplab import files, recipes
from mlplab.config import Recipe
from mlplab.errors import RecipeError, RunError
from mlplab.runs import store
from mlplab.runs.record import Record

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Run:
    """A run folder, read when asked.

    Examples:
        >>> import mlplab
        >>> run = mlplab.load_run("last")               # doctest: +SKIP
        >>> run.metrics["test"]["accuracy"]             # doctest: +SKIP
        0.9722
    """

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
        return files.read_lines(self.folder / "metrics.jsonl")

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
            yield str(self.folder / "recipe.toml")
        except RecipeError as error:
            raise RunError(f"{self.name}: {error}") from None

    def predictions(self, split: str) -> dict[str, NDArray[np.generic]]:
        """Return ``probabilities`` float32 [n, classes], ``labels`` [n] and ``index`` [n].

        With test-time augmentation there is ``probabilities_tta``, float32 [n, classes], as well.

        Raises:
            RunError: if the split was not evaluated.
        """
        return store.read_predictions(self.folder, split)

    def model(self, trust: bool = False) -> "keras.Model":
        """Load the trained network: raw uint8 [n, height, width, channels] to probabilities.

        Args:
            trust: import the user's own module that the recipe names, for its classes.

        Raises:
            RunError: if the run has no network, or its file is damaged.
        """
        path = self.folder / "model.keras"
        if not path.is_file():
            raise RunError(f"{self.name} has no trained network ({self.record.status})")
        if trust and self.recipe.model.name.partition(":")[1]:
            from mlplab.models.custom import load_object

            load_object(self.recipe.model.name, trust=True)
        from mlplab.models import saving

        return saving.load(path, saving.most_layers(self.recipe.model.name))
