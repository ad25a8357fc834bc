"""Keras's optimizers, by their own names and with all their own parameters; and β-LASSO.

``MultiOptimizer`` and ``LossScaleOptimizer`` are left out: they wrap other optimizers and have no
settings that a table of a recipe could hold. (For the second, ``loss_scale_factor`` is a parameter
of every optimizer.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import keras

from mlplab.errors import RecipeError
from mlplab.optim import signatures
from mlplab.optim.beta_lasso import BetaLasso
from mlplab.optim.muon import Muon
from mlplab.recipes.recipe import Average
from mlplab.recipes.schema import Named

ValueOf = Callable[[keras.Variable], jax.Array]


@dataclass(frozen=True)
class Offered:
    """An optimizer that a recipe can name, and what the rest of mlplab needs to know about it.

    Attributes:
        cls: its class, whose name is the optimizer's.
        elementwise: whether each element of its update depends only on the same element of its
            inputs, so that one pass over memory can compute them all.
        average: of an optimizer evaluated at an average that it computes itself: returns this from
            the optimizer, the trainable weights and a function from its variables to their values.
    """

    cls: type[keras.optimizers.Optimizer]
    elementwise: bool = False
    average: Callable[[Any, Sequence[jax.Array], ValueOf], list[jax.Array]] | None = None


def _schedule_free_average(
    optimizer: Any, trainable: Sequence[jax.Array], value_of: ValueOf
) -> list[jax.Array]:
    """Return the average x of ScheduleFreeAdamW.

    It trains at y = (1 - beta_1) z + beta_1 x, where z are the weights of the plain method and x is
    their average, the result (Defazio et al. 2024, "The Road Less Scheduled", eq. 2 to 4). Keras
    stores y (in the model) and z; this solves for x.
    """
    beta = optimizer.beta_1
    plain = [value_of(z) for z in optimizer._momentums]
    return [(y - (1 - beta) * z) / beta for y, z in zip(trainable, plain, strict=True)]


OFFERED = (
    Offered(keras.optimizers.SGD, elementwise=True),
    Offered(keras.optimizers.RMSprop, elementwise=True),
    Offered(keras.optimizers.Adam, elementwise=True),
    Offered(keras.optimizers.AdamW, elementwise=True),
    Offered(keras.optimizers.Adadelta, elementwise=True),
    Offered(keras.optimizers.Adagrad, elementwise=True),
    Offered(keras.optimizers.Adamax, elementwise=True),
    Offered(keras.optimizers.Adafactor),
    Offered(keras.optimizers.Nadam, elementwise=True),
    Offered(keras.optimizers.Ftrl),
    Offered(keras.optimizers.Lion, elementwise=True),
    Offered(keras.optimizers.Lamb),
    Offered(Muon),
    Offered(keras.optimizers.ScheduleFreeAdamW, average=_schedule_free_average),
    Offered(BetaLasso),
)
OPTIMIZERS = {offered.cls.__name__: offered.cls for offered in OFFERED}
_BY_CLASS = {offered.cls: offered for offered in OFFERED}

AVERAGING = ("use_ema", "ema_momentum", "ema_overwrite_frequency")  # parameters of every optimizer


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer that changes the weights.

    Keras wraps it into a ``LossScaleOptimizer`` for a network of its policy ``mixed_float16``.
    """
    wrapped = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return innermost(optimizer.inner_optimizer) if wrapped else optimizer


def complete(settings: Named) -> Named:
    """Return the settings under Keras's own name, with every default written out.

    Raises:
        RecipeError: for an unknown optimizer or parameter, a wrong type, a value outside its range,
            or a combination that Keras refuses.
    """
    cls = signatures.find(settings.name, OPTIMIZERS, "optimizer")
    params = signatures.complete(cls, settings.params, "optimizer", hidden=("name",))
    signatures.construct(cls, params, "optimizer")  # refuses combinations: two kinds of clipping
    return Named(name=cls.__name__).with_params(params)


def is_elementwise(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether one pass over memory can compute an optimizer's whole update."""
    offered = _BY_CLASS.get(type(optimizer))
    return offered is not None and offered.elementwise


def check_average(average: Average | None, settings: Named) -> None:
    """Refuse ``[average]`` together with an optimizer that averages its weights itself.

    Args:
        average: the recipe's table.
        settings: of the optimizer, complete.

    Raises:
        RecipeError: saying which of the two to leave out.
    """
    if average is None:
        return
    if _BY_CLASS[OPTIMIZERS[settings.name]].average:
        raise RecipeError(
            f"[average]: {settings.name} is evaluated at its own average; leave one out"
            " (average=none, or another optimizer.name)"
        )
    defaults = complete(Named(name=settings.name)).params
    for key in AVERAGING:
        if settings.params[key] != defaults[key]:
            raise RecipeError(
                f"optimizer.{key} and [average] both say how the weights are averaged; leave"
                f" optimizer.{key} out, or the table (average=none)"
            )


def build(
    settings: Named,
    model: keras.Model,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    average: Average | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer, its variables not yet built.

    A class of ours may have a class method ``for_network(params, model)``, which returns the
    parameters that suit a network, and an attribute ``precision``.

    Args:
        settings: the recipe's table, complete or not.
        model: the network to be trained.
        learning_rate: instead of the settings' own, a number or a schedule.
        precision: of the factors of an optimizer's matrix products, if it has any.
        average: what :func:`averaged_weights` is to return; Keras computes it in each step.

    Raises:
        RecipeError: as :func:`complete` and :func:`check_average`.
    """
    completed = complete(settings)
    check_average(average, completed)
    cls, params = OPTIMIZERS[completed.name], completed.params
    if learning_rate is not None:
        params["learning_rate"] = learning_rate
    if hasattr(cls, "for_network"):
        params = cls.for_network(params, model)
    if average is not None:
        params |= {"use_ema": True, "ema_momentum": average.momentum}
    # Keras would number the names: variables of a second optimizer would be named differently.
    built = signatures.construct(cls, {**params, "name": cls.__name__.lower()}, "optimizer")
    built.judged_at_average = average is not None
    if hasattr(cls, "precision"):
        built.precision = precision
    return built


def averaged_weights(
    optimizer: keras.optimizers.Optimizer,
    trainable: Sequence[jax.Array],
    optimizer_variables: Sequence[jax.Array],
) -> list[jax.Array] | None:
    """Return the weights at which to evaluate the network, if they are not its own.

    With ``[average]`` they are the exponential moving average that Keras's optimizers keep: the
    weights after the first step, and from then on, after each step, momentum times the average plus
    (1 - momentum) times the weights (Polyak & Juditsky 1992, there with equal shares).

    Some optimizers are evaluated at an average that they compute themselves: ``Offered.average``.

    Statistics of batch normalisation are gathered at the trained weights and stay as they are.

    Args:
        optimizer: a built optimizer.
        trainable: values of the trainable variables, in the order that it was built with.
        optimizer_variables: values of ``optimizer.variables``, in their order.

    Returns:
        One array for each of ``trainable``; or ``None`` if the weights themselves are evaluated:
        for every other optimizer, and with the optimizer's own ``use_ema``, which as in ``fit``
        replaces the weights when training ends.
    """
    position = {id(variable): i for i, variable in enumerate(optimizer.variables)}

    def value_of(variable: keras.Variable) -> jax.Array:
        return optimizer_variables[position[id(variable)]]

    inner = innermost(optimizer)
    if getattr(inner, "judged_at_average", False):
        return [value_of(average) for average in inner._model_variables_moving_average]
    offered = _BY_CLASS.get(type(inner))
    if offered is None or offered.average is None or inner.use_ema:
        return None
    return offered.average(inner, trainable, value_of)
