"""Learning-rate schedules: all of Keras's, and a linear warm-up followed by a decay.

A step is one batch, also with ``gradient_accumulation_steps``: Keras passes schedules the number
of batches, although the weights change only at every k-th of them.
"""

import inspect
from itertools import pairwise
from typing import Any

import keras

from mlplab.errors import RecipeError
from mlplab.optim import signatures
from mlplab.optim.warmup import WarmupCosine, WarmupLinear
from mlplab.recipes.schema import Named

SCHEDULES: dict[str, type[keras.optimizers.schedules.LearningRateSchedule]] = {
    "CosineDecay": keras.optimizers.schedules.CosineDecay,
    "CosineDecayRestarts": keras.optimizers.schedules.CosineDecayRestarts,
    "ExponentialDecay": keras.optimizers.schedules.ExponentialDecay,
    "InverseTimeDecay": keras.optimizers.schedules.InverseTimeDecay,
    "PiecewiseConstantDecay": keras.optimizers.schedules.PiecewiseConstantDecay,
    "PolynomialDecay": keras.optimizers.schedules.PolynomialDecay,
    "WarmupCosine": WarmupCosine,
    "WarmupLinear": WarmupLinear,
}

_HIDDEN = ("name", "steps_per_epoch", "epochs")
_RATES = ("initial_learning_rate", "peak_learning_rate")
_STEPS = ("decay_steps", "first_decay_steps")


def complete(settings: Named, learning_rate: float) -> Named:
    """Return the settings under the schedule's own name, with every default written out.

    Args:
        settings: the recipe's ``[schedule]``.
        learning_rate: the optimizer's, used if the initial rate is left out.

    Returns:
        Named settings; steps that were left out stay ``"none"``, the whole training.

    Raises:
        RecipeError: for an unknown schedule or parameter, a wrong type, a value outside its range,
            or settings that contradict each other.
    """
    cls = signatures.find(settings.name, SCHEDULES, "schedule")
    params = settings.params
    for key in _parameters(cls):
        if key in _RATES and params.get(key) is None:
            params[key] = learning_rate
        elif key in _STEPS:
            params.setdefault(key, None)
    params = signatures.complete(cls, params, "schedule", hidden=_HIDDEN)
    _check(cls.__name__, params)
    # The length is not known yet; with a huge one, only what is wrong at any length is refused.
    _construct(cls, params, steps_per_epoch=1, epochs=10**12)
    return Named(name=cls.__name__).with_params(params)


def build(
    settings: Named, learning_rate: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule for a training of known length.

    If ``decay_steps`` or ``first_decay_steps`` is left out, it becomes the number of steps of the
    whole training, less CosineDecay's ``warmup_steps``, which Keras counts separately.

    Args:
        settings: the recipe's ``[schedule]``, complete or not.
        learning_rate: the optimizer's, used if the initial rate is left out.
        steps_per_epoch: batches in an epoch, whether or not gradients are accumulated over several.
        epochs: epochs that the training is planned for.

    Raises:
        RecipeError: as :func:`complete`, and if a warm-up is as long as the training.
    """
    completed = complete(settings, learning_rate)
    cls = SCHEDULES[completed.name]
    return _construct(cls, completed.params, steps_per_epoch=steps_per_epoch, epochs=epochs)


def _construct(
    cls: type[keras.optimizers.schedules.LearningRateSchedule],
    params: dict[str, Any],
    *,
    steps_per_epoch: int,
    epochs: int,
) -> keras.optimizers.schedules.LearningRateSchedule:
    if "steps_per_epoch" in _parameters(cls):
        params = {**params, "steps_per_epoch": steps_per_epoch, "epochs": epochs}
    warmup_steps = params.get("warmup_steps", 0) if params.get("warmup_target") is not None else 0
    whole = steps_per_epoch * epochs - warmup_steps
    missing = [key for key in _STEPS if key in params and params[key] is None]
    if missing and whole < 1:
        raise RecipeError(
            f"schedule.warmup_steps = {warmup_steps} leaves no steps for the decay: training has "
            f"{steps_per_epoch * epochs} steps ({epochs} epochs of {steps_per_epoch})"
        )
    return signatures.construct(cls, {**params, **dict.fromkeys(missing, whole)}, "schedule")


def _check(name: str, params: dict[str, Any]) -> None:
    """Refuse settings that Keras accepts but with which it computes something unintended."""
    if name == "CosineDecay" and params["warmup_steps"] and params["warmup_target"] is None:
        raise RecipeError(
            "schedule.warmup_steps does nothing without schedule.warmup_target, the rate to warm "
            "up to (from initial_learning_rate); WarmupCosine needs neither"
        )
    if name == "PiecewiseConstantDecay":
        boundaries = params["boundaries"]
        if any(a >= b for a, b in pairwise(boundaries)):
            raise RecipeError(f"schedule.boundaries = {boundaries} must increase")


def _parameters(cls: type) -> list[str]:
    return list(inspect.signature(cls).parameters)
