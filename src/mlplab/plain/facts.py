"""What a program is written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplab.recipes.recipe import Recipe


@dataclass(frozen=True)
class Facts:
    """What a program is written from.

    Attributes:
        name: of the run.
        recipe: complete.
        image_shape: height, width and channels.
        class_names: by label.
        metrics: of the run, by split.
        folders: of the user's own images: the folder of each split, relative to ``root``.
        root: the folder of these images.
        folder_names: the names of its class folders, also of those that are not used.
    """

    name: str
    recipe: Recipe
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    folder_names: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def one_hot(self) -> bool:
        """Whether the loss compares probabilities with a vector for each label."""
        loss = self.recipe.loss
        plain = loss.name == "sparse_categorical_crossentropy" and not loss.label_smoothing
        return not plain or self.recipe.augment.mixes
