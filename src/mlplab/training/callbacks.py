"""The callbacks of a recipe: Keras's by their names and parameters, and the user's own."""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.errors import RecipeError, nearest
from mlplab.models.user_code import load_object
from mlplab.optim import signatures
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.schema import Named
from mlplab.runs import layout
from mlplab.tensorboard.of_run import RunTensorBoard
from mlplab.tracking import trackers
from mlplab.tracking.callback import Track
from mlplab.training.constants import RATES

CALLBACKS: dict[str, type[keras.callbacks.Callback]] = {
    "EarlyStopping": keras.callbacks.EarlyStopping,
    "ReduceLROnPlateau": keras.callbacks.ReduceLROnPlateau,
    "ModelCheckpoint": keras.callbacks.ModelCheckpoint,
    "CSVLogger": keras.callbacks.CSVLogger,
    "TerminateOnNaN": keras.callbacks.TerminateOnNaN,
    "LearningRateScheduler": keras.callbacks.LearningRateScheduler,
    "SwapEMAWeights": keras.callbacks.SwapEMAWeights,
    "TensorBoard": RunTensorBoard,
    "Track": Track,
}
OURS = ("TensorBoard", "Track")
"""Callbacks that are given facts of the run when they are built."""

MONITORS = ("loss", "accuracy", "val_loss", "val_accuracy")

# Set by mlplab, not by a recipe: what would print into the results, or is set when building.
HIDDEN = {
    "EarlyStopping": ("verbose",),
    "ReduceLROnPlateau": ("verbose", "kwargs"),
    "ModelCheckpoint": ("verbose",),
    "TerminateOnNaN": ("raise_error",),
    "TensorBoard": (
        "folder",
        "probe_images",
        "probe_inputs",
        "probe_labels",
        "class_names",
        "recipe_text",
        "probe_weights",
        "note",
    ),
    "Track": ("folder", "tables", "config_id", "note"),
}

# Default files for parameters where Keras requires a path.
PATHS = {"ModelCheckpoint": ("filepath", "checkpoints/{epoch:03d}.keras"),
         "CSVLogger": ("filename", "log.csv")}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Context:
    """What callbacks need to know about the run.

    Attributes:
        folder: the run's; every path that a callback writes is inside it.
        images: uint8 [n, height, width, channels], a few hundred of the training split.
        inputs: inputs of the trained network for them: the images, or features [n, features].
        labels: of these images, as the loss expects them.
        weights: float32 [n], of these images in the loss, if classes are weighted.
        class_names: by label.
        recipe_text: the complete recipe.
        trust: whether the user's own code may be loaded.
        note: receives what the user should know.
        config_id: identity of the configuration.
    """

    folder: Path
    images: NDArray[np.uint8]
    inputs: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[np.float32] | None
    class_names: tuple[str, ...]
    recipe_text: str
    trust: bool
    note: Callable[[str], None] = lambda text: None
    config_id: str = ""


def complete(key: str, settings: Named, trust: bool = False) -> Named:
    """Return a callback's settings under Keras's own names, with every default.

    Args:
        key: the callback's table, ``callbacks.<key>``.
        settings: its name and parameters.
        trust: whether the user's own code may be loaded.

    Raises:
        RecipeError: for an unknown callback or parameter, a value of the wrong type or one that
            the callback refuses, or code that is not trusted or not found.
    """
    where = f"callbacks.{key}"
    if settings.is_custom:
        custom(where, settings, trust)
        return settings
    signatures.find(settings.name, CALLBACKS, where)
    name = next(known for known in CALLBACKS if known.lower() == _plain(settings.name))
    params = dict(settings.params)
    if name == "LearningRateScheduler":
        _rates(params, where)
        return Named(name=name, **params)
    if name in PATHS:
        parameter, path = PATHS[name]
        params.setdefault(parameter, path)
        _inside(Path("run"), str(params[parameter]), f"{where}.{parameter}")
    params = signatures.complete(CALLBACKS[name], params, where, hidden=HIDDEN.get(name, ()))
    monitor = params.get("monitor")
    if monitor is not None and monitor not in MONITORS:
        raise RecipeError(f"{where}.monitor = '{monitor}'{nearest(str(monitor), MONITORS)}")
    if name == "Track":
        trackers.check_installed(params["to"], where)
    if name not in OURS:
        signatures.construct(CALLBACKS[name], params, where)  # refuses what fails when building
    return Named(name=name).with_params(params)


def check_together(recipe: Recipe) -> None:
    """Refuse callbacks that cannot work with the recipe's optimizer or schedule.

    Raises:
        RecipeError: saying which and why.
    """
    rewinds = recipe.training.on_divergence == "rewind"
    if rewinds and recipe.schedule and not set(RATES) & set(recipe.schedule.params):
        raise RecipeError(
            f"training.on_divergence = 'rewind' halves the learning rate, but"
            f" {recipe.schedule.name} has its own table of rates: use 'stop', or another schedule"
        )
    _check_trackers(recipe.callbacks)
    for key, settings in recipe.callbacks.items():
        if rewinds and settings.name == "LearningRateScheduler":
            raise RecipeError(
                f"callbacks.{key} (LearningRateScheduler) sets the learning rate that"
                " training.on_divergence = 'rewind' would halve: remove one"
                f" (callbacks.{key}=none or training.on_divergence=stop)"
            )
        if recipe.schedule and settings.name in ("ReduceLROnPlateau", "LearningRateScheduler"):
            raise RecipeError(
                f"callbacks.{key} ({settings.name}) sets the learning rate, and so does [schedule]:"
                " remove one (callbacks.NAME=none or schedule=none)"
            )
        if settings.name == "SwapEMAWeights" and recipe.average is not None:
            raise RecipeError(
                f"callbacks.{key} (SwapEMAWeights) would swap the average out that [average] puts"
                f" in before validation: remove one (callbacks.{key}=none or average=none)"
            )
        if settings.name == "SwapEMAWeights" and not recipe.optimizer.params.get("use_ema"):
            raise RecipeError(
                f"callbacks.{key} (SwapEMAWeights) needs an average: optimizer.use_ema=true"
            )


def _check_trackers(settings: Mapping[str, Named]) -> None:
    """Refuse to report a run twice to the same tracker."""
    told: dict[str, str] = {}
    for key, named in settings.items():
        if named.name != "Track":
            continue
        service = str(named.params.get("to"))
        if service in told:
            raise RecipeError(
                f"callbacks.{told[service]} and callbacks.{key} both report to {service}: remove"
                f" one (callbacks.{key}=none)"
            )
        told[service] = key


def build(settings: Mapping[str, Named], context: Context) -> list[keras.callbacks.Callback]:
    """Return the callbacks of completed settings, in their order in the recipe."""
    return [_build(f"callbacks.{key}", named, context) for key, named in settings.items()]


def _build(where: str, settings: Named, context: Context) -> keras.callbacks.Callback:
    name, params = settings.name, dict(settings.params)
    if settings.is_custom:
        return custom(where, settings, context.trust, fresh=False)
    if name == "LearningRateScheduler":
        return keras.callbacks.LearningRateScheduler(_table_schedule(params["table"]))
    if name == "TensorBoard":
        return RunTensorBoard(
            context.folder / layout.EVENTS,
            context.images,
            context.inputs,
            context.labels,
            context.class_names,
            recipe_text=context.recipe_text,
            probe_weights=context.weights,
            note=context.note,
            **params,
        )
    if name == "Track":
        tables = tomllib.loads(context.recipe_text)
        return Track(context.folder, tables, context.config_id, note=context.note, **params)
    if name in PATHS:
        parameter, _ = PATHS[name]
        path = _inside(context.folder, str(params[parameter]), f"{where}.{parameter}")
        path.parent.mkdir(parents=True, exist_ok=True)
        params[parameter] = str(path)
    return signatures.construct(CALLBACKS[name], params, where)


def custom(
    where: str, settings: Named, trust: bool, fresh: bool = True
) -> keras.callbacks.Callback:
    """Return one of the user's own callbacks.

    With ``fresh``, its code is loaded again if it has changed.

    Raises:
        RecipeError: if it is not trusted, not found or not a callback, naming ``where``.
    """
    make: Callable[..., Any] = load_object(settings.name, trust, fresh)
    try:
        callback = make(**settings.params)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from None
    if not isinstance(callback, keras.callbacks.Callback):
        raise RecipeError(f"{where}: {settings.name} does not return a keras.callbacks.Callback")
    return callback


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _inside(folder: Path, path: str, where: str) -> Path:
    """Return the path inside the folder; one outside it, or one of the run's own, is refused."""
    root = folder.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root) or target == root:
        raise RecipeError(f"{where} = '{path}' is outside the run folder; give a relative path")
    first = target.relative_to(root).parts[0]
    if first in layout.RESERVED or first.startswith((".", layout.PREDICTIONS)):
        raise RecipeError(f"{where} = '{path}': {first} is written by mlplab; choose another name")
    try:
        path.format(epoch=1, batch=1, **dict.fromkeys(MONITORS, 0.5))
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join(["epoch", *MONITORS])
        raise RecipeError(f"{where} = '{path}' can contain {known}, but not {error}") from None
    return target


def _rates(params: Mapping[str, Any], where: str) -> None:
    """Check the table of a LearningRateScheduler: rows of first epoch and rate, ascending."""
    if set(params) != {"table"}:
        raise RecipeError(f"{where} takes one parameter: table = [[1, 1e-3], [10, 1e-4]]")
    rows = params["table"]
    valid = isinstance(rows, list) and rows and all(map(_is_rate_row, rows))
    if not valid or [row[0] for row in rows] != sorted({row[0] for row in rows}):
        raise RecipeError(
            f"{where}.table must list [epoch, rate] with ascending epochs, from 1, and rates"
            " above 0, such as [[1, 1e-3], [10, 1e-4]]"
        )


def _is_rate_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and type(row[0]) is int
        and row[0] >= 1
        and type(row[1]) in (int, float)
        and 0 < row[1] < math.inf
    )


def _table_schedule(rows: list[list[float]]) -> Callable[[int, float], float]:
    """Return Keras's function of (epoch from 0, rate); each rate applies from its epoch on."""

    def rate(epoch: int, current: float) -> float:
        reached = [value for first, value in rows if first <= epoch + 1]
        return float(reached[-1]) if reached else current

    return rate
