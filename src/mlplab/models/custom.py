"""Networks of the user's own: built by their function, and checked."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mlplab.errors import RecipeError, nearest
from mlplab.models.from_pixels import from_pixels
from mlplab.models.parts import Task
from mlplab.models.user_code import load_object, one_line
from mlplab.recipes.networks import CustomModel


def build(settings: CustomModel, task: Task, trust: bool) -> keras.Model:
    """Call the user's function for a model and check what it returns.

    The function is called with keywords: ``input_shape`` (height, width, channels), ``classes``,
    ``seed`` and ``scaling`` (a layer that takes raw uint8 images), as far as its signature has
    them, and the recipe's other keys of ``[model]``.

    Raises:
        RecipeError: if the code is not trusted or not found, does not take those keys, fails, or
            returns anything but a ``keras.Model`` from images [n, height, width, channels], raw
            uint8, to probabilities [n, classes].
    """
    function = load_object(settings.name, trust, fresh=False)
    ours = {key: getattr(task, key) for key in ("input_shape", "classes", "seed", "scaling")}
    # An object of a program is for its arrays as they are, unless it takes our scaling.
    values = task.values if settings.is_given else None
    if values is not None and "scaling" in inspect.signature(function).parameters:
        values = None
    if values is not None:
        ours["input_shape"] = values[2]
    arguments = _arguments(function, settings, ours)
    try:
        model = function(**arguments)
    except Exception as error:
        raise RecipeError(f"'{settings.name}' failed: {one_line(error)}") from error
    if not isinstance(model, keras.Model):
        kind = type(model).__name__
        raise RecipeError(f"'{settings.name}' returned {kind}; a keras.Model is expected")
    try:
        model = from_pixels(model, task.input_shape, values)
    except Exception as error:
        shape = ", ".join(map(str, ours["input_shape"]))
        raise RecipeError(
            f"the model of '{settings.name}' does not take arrays of shape [n, {shape}]:"
            f" {one_line(error)}"
        ) from error
    _check(model, settings.name, task.input_shape, task.classes)
    return model


def _arguments(
    function: Callable[..., Any], settings: CustomModel, ours: dict[str, Any]
) -> dict[str, Any]:
    """Return the keyword arguments for the user's function."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise RecipeError(f"'{settings.name}' has no readable signature") from None
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds
    for key in settings.params:
        if key in ours:
            raise RecipeError(f"'model.{key}' is set by mlplab, not by a recipe")
        if key not in signature.parameters and not takes_all:
            known = set(signature.parameters) - set(ours)
            raise RecipeError(
                f"'model.{key}' is not a parameter of '{settings.name}'{nearest(key, known)}"
            )
    accepted = {key: value for key, value in ours.items() if key in signature.parameters}
    arguments = {**accepted, **settings.params}
    # In an object of a program they may have other names: the input's shape, then the classes.
    missing = (
        []
        if not settings.is_given
        else [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            and parameter.name not in arguments
        ]
    )
    left = [value for key, value in ours.items() if key not in accepted][:2]
    arguments |= zip(missing, left, strict=False)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise RecipeError(f"'{settings.name}' cannot be called: {error}") from None
    return arguments


def _check(model: keras.Model, name: str, input_shape: tuple[int, int, int], classes: int) -> None:
    """Check the model's input and output: first symbolically, which also builds it, then with two
    images, because only values distinguish probabilities from logits.
    """
    try:
        output = model(keras.KerasTensor((None, *input_shape), dtype="uint8"))
    except Exception as error:
        raise RecipeError(
            f"the model of '{name}' does not take uint8 images of shape "
            f"[n, {', '.join(map(str, input_shape))}]: {one_line(error)}"
        ) from error
    shape = getattr(output, "shape", None)
    if shape != (None, classes):
        raise RecipeError(
            f"the model of '{name}' gives {shape or type(output).__name__}; "
            f"[n, {classes}] is expected, a probability for each class"
        )
    images = np.stack([np.zeros(input_shape, np.uint8), np.full(input_shape, 255, np.uint8)])
    probabilities = np.asarray(model(images, training=False), np.float64)
    if not (np.all(probabilities >= 0) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-2)):
        raise RecipeError(
            f"the model of '{name}' does not give probabilities; end it with a softmax"
        )
