"""The next experiment, as overrides to try, starting from the recipe's own settings.

Each function returns a sentence, with settings in backticks, and the overrides in it.
"""

from typing import Any, NamedTuple

from mlplab.recipes.recipe import Recipe
from mlplab.report.formatting import is_number


class Advice(NamedTuple):
    """What to try next.

    Attributes:
        text: a sentence, with settings and overrides in backticks.
        overrides: those in the sentence that can be tried as they are.
    """

    text: str
    overrides: tuple[str, ...] = ()


NONE = Advice("")


def smaller_steps(recipe: Recipe) -> Advice:
    """What to try when training diverges."""
    rate = recipe.optimizer.params.get("learning_rate")
    bound = "optimizer.clipnorm=1.0"
    if is_number(rate) and rate < 10:
        lower = f"optimizer.learning_rate={rate / 10:.3g}"
        return Advice(f"Try `{lower}`, or bound the gradient: `{bound}`.", (lower, bound))
    text = "Try a tenth of the `optimizer.learning_rate`, or bound the gradient:"
    return Advice(f"{text} `{bound}`.", (bound,))


def other_steps(recipe: Recipe) -> Advice:
    """What to try when the loss does not fall."""
    rate = recipe.optimizer.params.get("learning_rate")
    if not is_number(rate):
        return Advice("Try a tenth and ten times the current `optimizer.learning_rate`.")
    both = tuple(f"optimizer.learning_rate={value:.3g}" for value in (rate / 10, rate * 10))
    return Advice(
        f"Try `{both[0]}` and `{both[1]}`: one shows whether the steps were too large, the other"
        " whether they were too small.",
        both,
    )


def more_regularisation(recipe: Recipe) -> Advice:
    """What to try against overfitting: more of what the recipe has, or weight decay."""
    l1 = recipe.optimizer.params.get("l1")
    if is_number(l1) and l1 > 0:
        return _to_try("Try a sparser network", f"optimizer.l1={2 * l1:.2g}")
    dropout = getattr(recipe.model, "dropout", None)
    if recipe.model.cure == "weight_decay":
        decay = recipe.optimizer.params.get("weight_decay")
        more = 10 * decay if is_number(decay) and decay > 0 else 0.01
        return _to_try("Try more weight decay", f"optimizer.weight_decay={more:.2g}")
    if not is_number(dropout):
        return _to_try("Try more dropout", "model.dropout=0.4")
    if dropout >= 0.5:
        decay_too = f"With dropout at {dropout:g} already, try weight decay"
        return _to_try(decay_too, "optimizer.weight_decay=0.01")
    return _to_try(f"Try more dropout than {dropout:g}", f"model.dropout={dropout + 0.2:.2g}")


def more_epochs(recipe: Recipe, ran: int) -> Advice:
    """What to try when training ended while the loss was still falling."""
    limit = recipe.training.epochs
    if ran < limit:
        return _to_try(f"It stopped before its limit of {limit} epochs", more_patience(recipe))
    return _to_try("Try more epochs", f"training.epochs={2 * ran}")


def more_capacity(recipe: Recipe) -> Advice:
    """What to try against underfitting: less dropout first, then wider layers."""
    dropout = getattr(recipe.model, "dropout", None)
    if is_number(dropout) and dropout > 0:
        return _to_try(f"Try no dropout instead of {dropout:g}", "model.dropout=0")
    hidden: Any = getattr(recipe.model, "hidden", None)
    if hidden and isinstance(hidden, list):  # the user's own network may mean something else by it
        wider = ",".join(
            str(2 * width) for width in hidden
        )  # no space, so it is one word to a shell
        return _to_try("Try wider layers", f"model.hidden=[{wider}]")
    return Advice("Try a larger network, or a higher `optimizer.learning_rate`.")


def more_patience(recipe: Recipe) -> str:
    """Return the override that doubles the patience of the recipe's early stopping."""
    for key, callback in recipe.callbacks.items():
        if callback.name.lower() == "earlystopping":
            patience = callback.params.get("patience")
            doubled = max(2, 2 * patience) if is_number(patience) else 10
            return f"callbacks.{key}.patience={doubled}"
    return "callbacks.early_stopping.patience=10"


def _to_try(words: str, override: str) -> Advice:
    return Advice(f"{words}: `{override}`.", (override,))
