"""What Keras's documentation says about parameters and their signature does not.

Keras's constructors have no annotations. Most types follow from the default; this table has the
others: parameters whose default is ``None``, an integer where any number is allowed, or one of a
few words, and numbers that Keras accepts outside their range, only to compute NaN.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"'{text}' is not a regular expression: {error}") from None
    return text


Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# Bias corrections divide by 1 - beta^t, so 1 itself is not allowed.
Decay = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountFromZero = Annotated[int, Field(ge=0)]
Pattern = Annotated[str, AfterValidator(_pattern)]

OPTIMIZERS: dict[str, Any] = {
    "learning_rate": Positive,
    "weight_decay": NotNegative | None,
    "clipnorm": Positive | None,
    "clipvalue": Positive | None,
    "global_clipnorm": Positive | None,
    "ema_momentum": Share,
    "ema_overwrite_frequency": Count | None,
    "loss_scale_factor": Positive | None,
    "gradient_accumulation_steps": Annotated[int, Field(ge=2)] | None,
    "momentum": Share,
    "beta_1": Decay,
    "beta_2": Decay,
    "rho": Decay,
    "epsilon": NotNegative,
    "epsilon_1": NotNegative,
    "epsilon_2": NotNegative,
    "clip_threshold": Positive,
    "beta": NotNegative,
    "initial_accumulator_value": NotNegative,
    "warmup_steps": CountFromZero,
    # At beta_1 = 1 Lion uses only the sign of the momentum, which is a valid method.
    "Lion.beta_1": Annotated[float, Field(gt=0, le=1)],
    # The average is recovered by dividing by beta_1.
    "ScheduleFreeAdamW.beta_1": Annotated[float, Field(gt=0, le=1)],
    "adam_beta_1": Decay,
    "adam_beta_2": Decay,
    "adam_weight_decay": NotNegative | None,
    "adam_lr_ratio": NotNegative,
    "exclude_layers": list[Pattern] | None,
    "ns_steps": Count,
    "rms_rate": Positive | None,
}

SCHEDULES: dict[str, Any] = {
    "initial_learning_rate": NotNegative,
    "decay_steps": Count | None,
    "first_decay_steps": Count | None,
    "decay_rate": NotNegative,
    "end_learning_rate": NotNegative,
    "power": Positive,
    "alpha": NotNegative,
    "t_mul": Positive,
    "m_mul": Positive,
    "warmup_target": NotNegative | None,
    "boundaries": Annotated[list[CountFromZero], Field(min_length=1)],
    "values": list[NotNegative],
}

CALLBACKS: dict[str, Any] = {
    "min_delta": float,
    "patience": CountFromZero,
    "start_from_epoch": CountFromZero,
    "cooldown": CountFromZero,
    "min_lr": NotNegative,
    "factor": Annotated[float, Field(gt=0, lt=1)],
    # Keras treats an unknown mode as "auto", with a warning.
    "mode": Literal["auto", "min", "max"],
    "baseline": float | None,
    "initial_value_threshold": float | None,
    "save_freq": Literal["epoch"] | Count,
    "verbose": Annotated[int, Field(ge=0, le=2)],
}

PARAMETERS: dict[str, Any] = OPTIMIZERS | SCHEDULES | CALLBACKS
"""By ``parameter`` or ``Class.parameter``: the type, with its limits."""
