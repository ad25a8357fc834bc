"""β-LASSO: gradient descent that sets small weights to zero, and so learns local features."""

from typing import Annotated, Any

import keras
from pydantic import Field

Penalty = Annotated[float, Field(ge=0)]


@keras.saving.register_keras_serializable(package="mlplab")
class BetaLasso(keras.optimizers.Optimizer):  # type: ignore[misc]
    """β-LASSO (Neyshabur 2020, "Towards Learning Convolutions from Scratch", algorithm 1).

    A step is ``θ ← θ - learning_rate · (∇ + l1 · sign θ)``, after which every θ with
    ``|θ| < beta · l1`` is set to 0. The threshold is not multiplied by the learning rate, so it
    keeps weights at zero that a lasso by gradient descent would only bring close to zero. Only
    kernels are made sparse; biases and the parameters of normalisation take the plain step.

    Args:
        learning_rate: a number or a schedule.
        l1: λ of every kernel except the first.
        first_l1: λ of the first layer's kernel; ``None`` for that of the others.
        beta: β, the threshold in units of λ.
        name: of the optimizer.
        **options: those of every Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: Annotated[float, Field(gt=0)] = 0.1,
        l1: Penalty = 1e-6,
        first_l1: Penalty | None = None,
        beta: Penalty = 50.0,
        weight_decay: Penalty | None = None,
        clipnorm: Annotated[float, Field(gt=0)] | None = None,
        clipvalue: Annotated[float, Field(gt=0)] | None = None,
        global_clipnorm: Annotated[float, Field(gt=0)] | None = None,
        use_ema: bool = False,
        ema_momentum: Annotated[float, Field(ge=0, le=1)] = 0.99,
        ema_overwrite_frequency: Annotated[int, Field(ge=1)] | None = None,
        loss_scale_factor: Annotated[float, Field(gt=0)] | None = None,
        gradient_accumulation_steps: Annotated[int, Field(ge=2)] | None = None,
        name: str = "beta_lasso",
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **options,
        )
        self.l1, self.first_l1, self.beta = l1, first_l1, beta

    def build(self, variables: list[keras.Variable]) -> None:
        """Store each kernel's λ; there is no state to keep between steps."""
        if self.built:
            return
        super().build(variables)
        kernels = [variable for variable in variables if len(variable.shape) > 1]
        first = self.l1 if self.first_l1 is None else self.first_l1
        self._penalty = {
            variable.path: first if variable is kernels[0] else self.l1 for variable in kernels
        }

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable in place."""
        rate = keras.ops.cast(learning_rate, variable.dtype)
        penalty = self._penalty.get(variable.path, 0.0)
        if not penalty:
            self.assign_sub(variable, gradient * rate)
            return
        value = variable.value
        value = value - rate * (gradient + penalty * keras.ops.sign(value))
        kept = keras.ops.abs(value) >= self.beta * penalty
        self.assign(variable, keras.ops.where(kept, value, keras.ops.zeros_like(value)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create the same optimizer."""
        own = {"l1": self.l1, "first_l1": self.first_l1, "beta": self.beta}
        return {**super().get_config(), **own}
