"""The losses of a recipe, and labels in the form that each expects."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RecipeError
from mlplab.optim import signatures
from mlplab.recipes.recipe import Loss, Teacher
from mlplab.training.distillation import Distillation

LOSSES: dict[str, type[keras.losses.Loss]] = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "categorical_focal_crossentropy": keras.losses.CategoricalFocalCrossentropy,
    "kl_divergence": keras.losses.KLDivergence,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "categorical_hinge": keras.losses.CategoricalHinge,
}
CROSSENTROPY = ("sparse_categorical_crossentropy", "categorical_crossentropy")
UNMIXED = ("categorical_hinge",)  # compares the right class with the best wrong one
SMOOTHING = ("categorical_crossentropy", "categorical_focal_crossentropy")


def complete(settings: Loss) -> Loss:
    """Return the settings with the loss's name as in :data:`LOSSES`.

    Raises:
        RecipeError: for an unknown loss.
    """
    found = signatures.find(settings.name, LOSSES, "loss")
    name = next(name for name, loss in LOSSES.items() if loss is found)
    return settings.model_copy(update={"name": name})


def build(settings: Loss, mixed: bool = False, teacher: Teacher | None = None) -> keras.losses.Loss:
    """Return the Keras loss over probabilities.

    Args:
        settings: of the recipe.
        mixed: whether a label may be spread over two classes (mixup, cutmix).
        teacher: of the recipe.

    Raises:
        RecipeError: for an unknown loss, label smoothing if the loss has none, mixed labels if the
            loss supports only one class, or a teacher with a loss other than cross-entropy.
    """
    settings = complete(settings)
    loss = LOSSES[settings.name]
    if teacher is not None:
        if settings.name not in CROSSENTROPY:
            raise RecipeError(
                f"[teacher]: distillation uses cross-entropy, not {settings.name}; leave loss.name"
                " out"
            )
        return Distillation(teacher.temperature, teacher.weight, settings.label_smoothing)
    if mixed and settings.name in UNMIXED:
        raise RecipeError(
            f"augment.mixup and augment.cutmix mix labels, which {settings.name} does not support;"
            " set both to 0, or use loss.name=categorical_crossentropy"
        )
    if not (settings.label_smoothing or mixed):
        return loss()
    if settings.name == "sparse_categorical_crossentropy":
        # The same function of the label; only one-hot labels can be smoothed and mixed.
        return keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    if not settings.label_smoothing:
        return loss()
    if settings.name not in SMOOTHING:
        raise RecipeError(f"loss.label_smoothing: {settings.name} has none; use {SMOOTHING[0]}")
    return loss(label_smoothing=settings.label_smoothing)


def encode(loss: keras.losses.Loss, labels: NDArray[np.int32], classes: int) -> NDArray[Any]:
    """Return labels as the loss expects them: int32 [n], or one-hot float32 [n, classes]."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return labels
    return np.eye(classes, dtype=np.float32)[labels]
