"""The next experiment, as overrides to try, starting from the recipe's own settings.

Each function returns a sentence, with settings in backticks, and the overrides in it. The first
override is the one that ``benchmarks/advice.py`` follows.
"""

from typing import Any, NamedTuple

from mlplab.recipes.recipe import Recipe
from mlplab.report.formatting import is_number
from mlplab.report.rates import typical_rate
from mlplab.runs.record import Finding

MOST_DROPOUT = 0.5
SMALLEST = 14  # side in pixels of images that keep their content when moved by one of them
STRONG_PENALTY = 3e-3  # on kernels, L1 or L2; usual are 1e-5 to 1e-3
# Of decoupled weight decay, the share of every weight that a step removes: 4e-6 by Keras's
# defaults for AdamW.
STRONG_DECAY = 1e-4
WEAK_DECAY = 1e-5


class Advice(NamedTuple):
    """What to try next.

    Attributes:
        text: a sentence, with settings and overrides in backticks.
        overrides: those in the sentence that can be tried as they are, the best first.
    """

    text: str
    overrides: tuple[str, ...] = ()


NONE = Advice("")


def to_try(words: str, override: str) -> Advice:
    """Return one override to try, with the words before it."""
    colon = "" if words == "Try" else ":"
    return Advice(f"{words}{colon} `{override}`.", (override,))


def advised(kind: str, heading: str, text: str, advice: Advice, **evidence: Any) -> Finding:
    """Return a finding whose text ends with advice."""
    return Finding(
        kind=kind,
        heading=heading,
        text=f"{text} {advice.text}".rstrip(),
        overrides=list(advice.overrides),
        evidence=evidence,
    )


def lower_rate(recipe: Recipe, rate: float | None) -> Advice:
    """What to try if steps are too large: a typical rate if it is far off, else a tenth."""
    bound = "optimizer.clipnorm=1.0"
    if rate is None:
        text = "Try a tenth of the `optimizer.learning_rate`, or bound the gradient:"
        return Advice(f"{text} `{bound}`.", (bound,))
    typical = typical_rate(recipe.optimizer)
    lower = typical if typical is not None and rate > 3 * typical else rate / 10
    key = _rate_key(recipe)
    return Advice(f"Try `{key}={lower:.3g}`.", (f"{key}={lower:.3g}",))


def higher_rate(recipe: Recipe, rate: float | None) -> Advice:
    """What to try if steps are too small: a typical rate."""
    typical = typical_rate(recipe.optimizer)
    if typical is None:
        return other_rate(recipe, rate)
    return to_try("Try", f"{_rate_key(recipe)}={typical:.3g}")


def other_rate(recipe: Recipe, rate: float | None) -> Advice:
    """What to try if the network learns nothing, for no cause that is known."""
    if rate is None:
        return Advice("Try a tenth and ten times the current `optimizer.learning_rate`.")
    both = tuple(f"{_rate_key(recipe)}={value:.3g}" for value in (rate / 10, rate * 10))
    return Advice(
        f"Try `{both[0]}` and `{both[1]}`: one shows whether the steps were too large, the other"
        " whether they were too small.",
        both,
    )


def stronger_gradients(recipe: Recipe, squashing: bool) -> Advice:
    """What to try if the first layers get no gradient."""
    if squashing:
        return to_try("ReLUs pass it back unchanged", "model.activation=relu")
    initialiser = getattr(recipe.model, "initialiser", "glorot_uniform")
    if initialiser not in ("glorot_uniform", "he_normal", "he_uniform"):
        return to_try("Initial weights of the usual size", "model.initialiser=he_normal")
    if getattr(recipe.model, "normalisation", "") == "none":
        return to_try("Normalise each layer's input", "model.normalisation=batch")
    return Advice("Try fewer layers.")


def weaker_penalty(recipe: Recipe, rate: float | None) -> Advice:
    """What to try if penalties on the weights are strong; nothing if they are not."""
    for key in ("l1", "l2"):
        value = getattr(recipe.model, key, 0)
        if is_number(value) and value >= STRONG_PENALTY:
            return to_try("Try a hundredth", f"model.{key}={value / 100:.1g}")
    decay = recipe.optimizer.params.get("weight_decay")
    if is_number(decay) and rate is not None and decay * rate > STRONG_DECAY:
        return to_try("Try less", f"optimizer.weight_decay={WEAK_DECAY / rate:.1g}")
    return NONE


def more_regularisation(recipe: Recipe, side: int | None) -> Advice:
    """What to try against overfitting, in the order of how much it helps.

    Args:
        recipe: of the run.
        side: of its images, in pixels, if known.
    """
    if recipe.data.share < 1:
        share = f"{100 * recipe.data.share:.3g} % of the training images were used"
        return to_try(f"More images help most, and only {share}", "data.share=1")
    l1 = recipe.optimizer.params.get("l1")
    if is_number(l1) and l1 > 0:
        return to_try("Try a sparser network", f"optimizer.l1={2 * l1:.2g}")
    augment = recipe.augment
    if side and side >= SMALLEST and not (augment.shift or augment.crop_resize or augment.rotation):
        pixels = max(1, round(side / 14))
        return to_try(
            "More images help most; failing that, show them moved by a few pixels",
            f"augment.shift={pixels}",
        )
    dropout = getattr(recipe.model, "dropout", None)
    if recipe.model.cure == "weight_decay" or not is_number(dropout):
        decay = recipe.optimizer.params.get("weight_decay")
        more = 10 * decay if is_number(decay) and decay > 0 else 0.01
        return to_try("Try more weight decay", f"optimizer.weight_decay={more:.2g}")
    if dropout < MOST_DROPOUT:
        more = min(MOST_DROPOUT, dropout + 0.2)
        return to_try(f"Try more dropout than {dropout:g}", f"model.dropout={more:.2g}")
    return Advice("Dropout is strong already: only more images will help much.")


def more_epochs(recipe: Recipe, ran: int) -> Advice:
    """What to try when training ended while the loss was still falling."""
    limit = recipe.training.epochs
    if ran < limit:
        return to_try(f"It stopped before its limit of {limit} epochs", more_patience(recipe))
    return to_try("Try more epochs", f"training.epochs={max(10, 2 * ran)}")


def more_capacity(recipe: Recipe) -> Advice:
    """What to try against underfitting: less dropout first, then wider layers."""
    dropout = getattr(recipe.model, "dropout", None)
    if is_number(dropout) and dropout > 0.3:
        return to_try(f"Try less dropout than {dropout:g}", f"model.dropout={dropout / 2:.2g}")
    hidden: Any = getattr(recipe.model, "hidden", None)
    if hidden and isinstance(hidden, list):  # the user's own network may mean something else by it
        # No space, so that it is one word to a shell. Narrow layers are far from wide enough.
        wider = ",".join(str(max(32, 2 * width)) for width in hidden)
        return to_try("Try wider layers", f"model.hidden=[{wider}]")
    return Advice("Try a larger network.")


def more_patience(recipe: Recipe) -> str:
    """Return the override that doubles the patience of the recipe's early stopping."""
    for key, callback in recipe.callbacks.items():
        if callback.name.lower() == "earlystopping":
            patience = callback.params.get("patience")
            doubled = max(2, 2 * patience) if is_number(patience) else 10
            return f"callbacks.{key}.patience={doubled}"
    return "callbacks.early_stopping.patience=10"


def _rate_key(recipe: Recipe) -> str:
    """Return the key of the learning rate: the schedule's, if it has one of its own."""
    if recipe.schedule is not None:
        for key in ("initial_learning_rate", "peak_learning_rate"):
            if key in recipe.schedule.params:
                return f"schedule.{key}"
    return "optimizer.learning_rate"
