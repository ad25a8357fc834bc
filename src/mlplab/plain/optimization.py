"""The part of a program that compiles the model: optimizer, schedule and loss."""

import inspect
from typing import Any

from mlplab.optim import optimizers, schedules
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed, keywords, literal
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.schema import Named
from mlplab.training.losses import LOSSES

STEPS = "STEPS"
"""The name that a program gives to the number of steps of the whole training."""

WARMUP = '''\
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly to its peak and then falls {how}."""

    def __init__(self, peak, final, warmup_steps, steps):
        self.peak, self.final = peak, final
        self.warmup_steps, self.steps = warmup_steps, steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.peak * (step + 1) / max(self.warmup_steps, 1)
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        done = keras.ops.clip(done, 0, 1)
        left = {left}
        falling = self.final + (self.peak - self.final) * left
        return keras.ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self):
        return vars(self)'''
FALLS = {
    "WarmupLinear": ("in a straight line", "1 - done"),
    "WarmupCosine": ("by half a cosine", "(1 + keras.ops.cos(np.pi * done)) / 2"),
}

BETA_LASSO = '''\
class BetaLasso(keras.optimizers.Optimizer):
    """Gradient descent that sets small weights of kernels to zero (Neyshabur 2020)."""

    def __init__(self, learning_rate, l1, first_l1=None, beta=50.0, **options):
        super().__init__(learning_rate=learning_rate, **options)
        self.l1, self.first_l1, self.beta = l1, first_l1, beta

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        kernels = [len(variable.shape) > 1 for variable in variables]
        self.penalties = [self.l1 if kernel else 0.0 for kernel in kernels]
        if self.first_l1 is not None:
            self.penalties[kernels.index(True)] = self.first_l1

    def update_step(self, gradient, variable, learning_rate):
        rate = keras.ops.cast(learning_rate, variable.dtype)
        penalty = self.penalties[self._get_variable_index(variable)]
        value = keras.ops.convert_to_tensor(variable)
        value = value - rate * (gradient + penalty * keras.ops.sign(value))
        kept = keras.ops.cast(keras.ops.abs(value) >= self.beta * penalty, value.dtype)
        self.assign(variable, value * kept)'''

MUON = '''\
class Muon(keras.optimizers.Muon):
    """Keras's Muon, which also takes the kernel of a convolution as a matrix."""

    def _should_use_adamw(self, variable):
        if len(variable.shape) == 4 and variable.shape[-1] > 1:
            return False
        return super()._should_use_adamw(variable)

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        update = super().zeropower_via_newtonschulz5(matrix, steps)
        return keras.ops.reshape(update, x.shape)

    def lr_adjust(self, x):
        matrix = super().lr_adjust(keras.ops.reshape(x, (-1, x.shape[-1])))
        return keras.ops.reshape(matrix, x.shape)'''

CONVOLUTIONAL = ("cnn", "lenet", "resnet", "airnet", "convmixer", "mixer", "pretrained")
HIDDEN = ("name", "learning_rate")


def compiled(facts: Facts) -> Part:
    """Return the part that compiles ``model``."""
    recipe = facts.recipe
    scheduled = _schedule(recipe)
    optimizer = _optimizer(recipe)
    own = {
        "BetaLasso": (BETA_LASSO,),
        "Muon": (MUON,) if recipe.model.name in CONVOLUTIONAL else (),
    }.get(recipe.optimizer.name, ())
    code = block(
        scheduled.code,
        "model.compile(",
        f"    optimizer={_indented(optimizer)},",
        f"    loss={_loss(recipe, facts)},",
        '    metrics=["accuracy"],',
        ")",
        "model.summary()",
    )
    return Part(code, (*scheduled.definitions, *own), scheduled.imports)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _optimizer(recipe: Recipe) -> str:
    settings = recipe.optimizer
    params = settings.params
    changed: dict[str, Any] = {}
    known = inspect.signature(optimizers.OPTIMIZERS[settings.name]).parameters
    for key, value in params.items():
        if key not in HIDDEN and known[key].default != value:
            changed[key] = value
    if settings.name == "BetaLasso":
        changed = {"l1": params["l1"], **changed}
    if settings.name == "Muon" and params.get("exclude_layers") is None:
        changed["exclude_layers"] = ["output"]
    if recipe.average is not None:
        changed |= {"use_ema": True, "ema_momentum": recipe.average.momentum}
    rate = literal(params["learning_rate"]) if recipe.schedule is None else "learning_rate"
    own = settings.name == "BetaLasso" or (
        settings.name == "Muon" and recipe.model.name in CONVOLUTIONAL
    )
    where = "" if own else "keras.optimizers."
    arguments = [f"learning_rate={rate}", *keywords(changed)]
    text = bracketed(f"optimizer={where}{settings.name}(", arguments, "),", 1)
    return text.strip().removeprefix("optimizer=").removesuffix(",").replace("\n    ", "\n")


def _loss(recipe: Recipe, facts: Facts) -> str:
    name, smoothing = recipe.loss.name, recipe.loss.label_smoothing
    if name == "sparse_categorical_crossentropy" and facts.one_hot:
        name = "categorical_crossentropy"
    if smoothing:
        return f"keras.losses.{LOSSES[name].__name__}(label_smoothing={smoothing!r})"
    return literal(name)


def _schedule(recipe: Recipe) -> Part:
    if recipe.schedule is None:
        return Part()
    name, params = recipe.schedule.name, recipe.schedule.params
    steps = "STEPS = math.ceil(len(x_train) / BATCH_SIZE) * EPOCHS"
    if name in FALLS:
        how, left = FALLS[name]
        warmup = f"round({params['warmup_epochs']!r} * STEPS / EPOCHS)"
        arguments = [
            repr(params["peak_learning_rate"]),
            repr(params["final_learning_rate"]),
            warmup,
            STEPS,
        ]
        code = block(steps, bracketed("learning_rate = Warmup(", arguments))
        return Part(code, (WARMUP.format(how=how, left=left),), ("import math",))
    return _of_keras(recipe.schedule, steps)


def _of_keras(settings: Named, steps: str) -> Part:
    cls = schedules.SCHEDULES[settings.name]
    known = inspect.signature(cls).parameters
    warmup = settings.params.get("warmup_steps") if settings.params.get("warmup_target") else 0
    whole = f"{STEPS} - {warmup}" if warmup else STEPS
    arguments = []
    for key, value in settings.params.items():
        if value is None and key in ("decay_steps", "first_decay_steps"):
            arguments.append(f"{key}={whole}")
        elif known[key].default != value:
            arguments.append(f"{key}={literal(value)}")
    uses = any(STEPS in argument for argument in arguments)
    head = f"learning_rate = keras.optimizers.schedules.{settings.name}("
    code = block(steps if uses else "", bracketed(head, arguments))
    return Part(code, (), ("import math",) if uses else ())
