"""Keras's optimizers, by their own names and with all their own parameters; and β-LASSO.

``MultiOptimizer`` and ``LossScaleOptimizer`` are left out: they wrap other optimizers and have no
settings that a table of a recipe could hold. (For the second, ``loss_scale_factor`` is a parameter
of every optimizer.)
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import keras

from mlplab.config import Average
from mlplab.errors import RecipeError
from mlplab.optim import muon, signatures
from mlplab.optim.beta_lasso import BetaLasso
from mlplab.tables import Named

if TYPE_CHECKING:
    from keras.optimizers.schedules import LearningRateSchedule

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "SGD": keras.optimizers.SGD,
    "RMSprop": keras.optimizers.RMSprop,
    "Adam": keras.optimizers.Adam,
    "AdamW": keras.optimizers.AdamW,
    "Adadelta": keras.optimizers.Adadelta,
    "Adagrad": keras.optimizers.Adagrad,
    "Adamax": keras.optimizers.Adamax,
    "Adafactor": keras.optimizers.Adafactor,
    "Nadam": keras.optimizers.Nadam,
    "Ftrl": keras.optimizers.Ftrl,
    "Lion": keras.optimizers.Lion,
    "Lamb": keras.optimizers.Lamb,
    "Muon": keras.optimizers.Muon,
    "ScheduleFreeAdamW": keras.optimizers.ScheduleFreeAdamW,
    "BetaLasso": BetaLasso,
}

AVERAGING = ("use_ema", "ema_momentum", "ema_overwrite_frequency")  # parameters of every optimizer


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


def check_average(average: Average | None, settings: Named) -> None:
    """Refuse an optimizer that averages its weights itself beside ``[average]``.

    Args:
        average: the recipe's table.
        settings: of the optimizer, complete.

    Raises:
        RecipeError: saying which of the two to leave out.
    """
    if average is None:
        return
    if settings.name == "ScheduleFreeAdamW":
        raise RecipeError(
            "[average]: ScheduleFreeAdamW is judged at an average of its own; leave one out"
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
    learning_rate: "float | LearningRateSchedule | None" = None,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    average: Average | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer, its variables not yet built.

    Muon orthogonalises the updates of matrices, which suits every layer but the last (Jordan et al.
    2024). Unless ``exclude_layers`` says otherwise, the output layer is left to the AdamW that
    Keras's Muon has inside; ``exclude_layers = []`` leaves nothing out.

    Args:
        settings: the recipe's table, complete or not.
        model: the network to be trained; only its output layer's name is read.
        learning_rate: instead of the settings' own, a number or a schedule.
        precision: of the factors of Muon's matrix products; no other optimizer has any.
        average: what :func:`averaged_weights` is to return; Keras computes it in each step.

    Raises:
        RecipeError: as :func:`complete` and :func:`check_average`.
    """
    completed = complete(settings)
    check_average(average, completed)
    cls, params = OPTIMIZERS[completed.name], completed.params
    if learning_rate is not None:
        params["learning_rate"] = learning_rate
    if completed.name == "Muon" and params["exclude_layers"] is None:
        params["exclude_layers"] = _output_layer(model)
    if completed.name == "Muon":
        cls = muon.Muon
    if average is not None:
        params |= {"use_ema": True, "ema_momentum": average.momentum}
    # Keras would number the names: variables of a second optimizer would be named differently.
    built = signatures.construct(cls, {**params, "name": cls.__name__.lower()}, "optimizer")
    built.judged_at_average = average is not None
    if completed.name == "Muon":
        built.rounded = precision == "bfloat16"
    return built


def averaged_weights(
    optimizer: keras.optimizers.Optimizer,
    trainable: Sequence[jax.Array],
    optimizer_variables: Sequence[jax.Array],
) -> list[jax.Array] | None:
    """Return the weights that the network is to be evaluated at, where they are not its own.

    With ``[average]`` they are the exponential moving average that Keras's optimizers keep: the
    weights after the first step, and from then on, after each step, momentum times the average plus
    (1 - momentum) times the weights (Polyak & Juditsky 1992, there with equal shares).

    ScheduleFreeAdamW trains at y = (1 - beta_1) z + beta_1 x, where z are the weights of the plain
    method and x is their average, the result (Defazio et al. 2024, "The Road Less Scheduled",
    eq. 2 to 4). Keras stores y (in the model) and z; this solves for x.

    Statistics of batch normalisation are gathered at the trained weights and stay as they are.

    Args:
        optimizer: a built optimizer.
        trainable: values of the trainable variables, in the order that it was built with.
        optimizer_variables: values of ``optimizer.variables``, in their order.

    Returns:
        One array for each of ``trainable``; or ``None`` where the weights themselves are what is
        evaluated: for every other optimizer, and with the optimizer's own ``use_ema``, which as in
        ``fit`` replaces the weights when training ends.
    """
    position = {id(variable): i for i, variable in enumerate(optimizer.variables)}
    if getattr(optimizer, "judged_at_average", False):
        averages = optimizer._model_variables_moving_average
        return [optimizer_variables[position[id(average)]] for average in averages]
    if not isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW) or optimizer.use_ema:
        return None
    beta = optimizer.beta_1
    plain = [optimizer_variables[position[id(z)]] for z in optimizer._momentums]
    return [(y - (1 - beta) * z) / beta for y, z in zip(trainable, plain, strict=True)]


def _output_layer(model: keras.Model) -> list[Any]:
    """Return the pattern, for Muon's search in variables' paths, of the last layer's variables."""
    matrices = [v.path for v in model.trainable_variables if len(v.shape) == 2]
    if not matrices:
        return []
    layer = matrices[-1].rpartition("/")[0]
    return [rf"(^|/){re.escape(layer)}/"]
