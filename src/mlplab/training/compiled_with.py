"""What a Keras model was compiled with, read as tables of a recipe."""

import inspect
import math
from typing import Any

import keras
import numpy as np

from mlplab.errors import RecipeError, nearest
from mlplab.optim import optimizers, schedules
from mlplab.optim.muon import Muon
from mlplab.recipes.overrides import Tables
from mlplab.training.constants import RATES
from mlplab.training.losses import LOSSES, SMOOTHING

LENGTHS = ("steps_per_epoch", "epochs")


def optimization_of(model: keras.Model) -> Tables:
    """Return the tables ``[optimizer]``, ``[loss]`` and, where they apply, ``[schedule]``,
    ``[average]`` and ``[training]``.

    Raises:
        RecipeError: for an optimizer, a schedule, a loss or a parameter that a recipe cannot name.
    """
    return {"loss": loss_of(model.loss), **optimizer_of(model.optimizer, model)}


def optimizer_of(optimizer: keras.optimizers.Optimizer, model: keras.Model | None = None) -> Tables:
    """Return the tables ``[optimizer]`` and, where they apply, ``[schedule]``, ``[average]`` and
    ``[training]``.

    Args:
        optimizer: of Keras or ours.
        model: that it was compiled with.

    Raises:
        RecipeError: for an optimizer, a schedule or a parameter that a recipe cannot name.
    """
    tables: Tables = {}
    name = type(optimizer).__name__
    if type(optimizer) is not optimizers.OPTIMIZERS.get(name):
        raise RecipeError(f"a recipe has no optimizer {name}{nearest(name, optimizers.OPTIMIZERS)}")
    params = {key: value for key, value in optimizer.get_config().items() if key != "name"}
    rate = params.pop("learning_rate")
    if isinstance(rate, dict):
        tables |= _schedule(optimizer._learning_rate)
        rates = [tables["schedule"][key] for key in RATES if key in tables["schedule"]]
        rate = rates[0] if rates else None
    if getattr(optimizer, "judged_at_average", False):
        tables["average"] = {"name": "ema", "momentum": params["ema_momentum"]}
        for key in optimizers.AVERAGING:
            params.pop(key)
    own = model is not None and isinstance(optimizer, Muon)
    if own and _is_own_choice(model, params["exclude_layers"]):
        params.pop("exclude_layers")
    changed = _changed(optimizers.OPTIMIZERS[name], params, "optimizer")
    known = {} if rate is None else {"learning_rate": _short(rate)}
    tables["optimizer"] = {"name": name, **known, **changed}
    return tables


def _is_own_choice(model: keras.Model, patterns: list[str]) -> bool:
    """Return whether Muon leaves out the layers that it leaves out by itself."""
    chosen = Muon.for_network({"exclude_layers": None}, model)
    return bool(chosen["exclude_layers"] == patterns)


def _schedule(schedule: Any) -> Tables:
    name = type(schedule).__name__
    if name not in schedules.SCHEDULES:
        raise RecipeError(f"a recipe has no schedule {name}{nearest(name, schedules.SCHEDULES)}")
    params = {key: value for key, value in schedule.get_config().items() if key != "name"}
    lengths = {key: params.pop(key) for key in LENGTHS if key in params}
    kept = {key: _short(params[key]) for key in RATES if key in params}
    changed = _changed(schedules.SCHEDULES[name], params, "schedule")
    tables: Tables = {"schedule": {"name": name, **changed, **kept}}
    if "epochs" in lengths:
        tables["training"] = {"epochs": lengths["epochs"]}
    return tables


def _changed(cls: type, params: dict[str, Any], table: str) -> dict[str, Any]:
    """Return the parameters that are not the defaults of a class."""
    known = inspect.signature(cls).parameters
    changed = {}
    for key, value in params.items():
        if key not in known:
            raise RecipeError(f"a recipe has no key {table}.{key} for {cls.__name__}")
        if value != known[key].default:
            changed[key] = "none" if value is None else value
    return changed


def _short(value: Any) -> float:
    """Return a rate of float32 as the shortest number that is rounded to it."""
    number = float(value)
    short = float(str(np.float32(number)))
    return short if math.isclose(short, number, rel_tol=1e-6) else number


def loss_of(given: Any) -> Tables:
    """Return the table ``[loss]`` of what a model was compiled with.

    Raises:
        RecipeError: for a loss, or a parameter of one, that a recipe cannot name.
    """
    name = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    plain = name.lower().replace("_", "")
    found = next((known for known in LOSSES if known.replace("_", "") == plain), None)
    if found is None or isinstance(given, list | tuple | dict):
        raise RecipeError(f"a recipe has no loss {name}{nearest(name, LOSSES)}")
    if not isinstance(given, keras.losses.Loss):
        return {"name": found}
    changed = {
        key: value
        for key, value in given.get_config().items()
        if value != LOSSES[found]().get_config().get(key) and key != "name"
    }
    smoothing = changed.pop("label_smoothing", 0.0)
    for key, value in changed.items():
        raise RecipeError(f"a recipe has no key for {key} = {value!r} of {type(given).__name__}")
    return {"name": found, **({"label_smoothing": smoothing} if found in SMOOTHING else {})}
