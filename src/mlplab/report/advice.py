"""The next experiment, as an override to try, starting from the recipe's own settings."""

from collections.abc import Mapping
from typing import Any

from mlplab.report.formatting import is_number

Recipe = Mapping[str, Any]


def smaller_steps(recipe: Recipe) -> str:
    """What to try when training diverges."""
    rate = _setting(recipe, "optimizer", "learning_rate")
    lower = "a tenth of the optimizer.learning_rate"
    if is_number(rate) and rate < 10:
        lower = f"optimizer.learning_rate={rate / 10:.3g}"
    return f"Try {lower}, or bound the gradient: optimizer.clipnorm=1.0."


def other_steps(recipe: Recipe) -> str:
    """What to try when the loss does not fall."""
    rate = _setting(recipe, "optimizer", "learning_rate")
    if not is_number(rate):
        return "Try another optimizer.learning_rate, a tenth and ten times of the present one."
    return (
        f"Try other steps, optimizer.learning_rate={rate / 10:.3g} and {rate * 10:.3g}: one shows"
        " whether they were too large, the other whether they were too small."
    )


def more_regularisation(recipe: Recipe) -> str:
    """What to try against overfitting: more of what the recipe has, or weight decay."""
    l1 = _setting(recipe, "optimizer", "l1")
    if is_number(l1) and l1 > 0:
        return f"Try a sparser network: optimizer.l1={2 * l1:.2g}."
    dropout = _setting(recipe, "model", "dropout")
    if _setting(recipe, "model", "name") not in (None, "mlp"):
        decay = _setting(recipe, "optimizer", "weight_decay")
        more = 10 * decay if is_number(decay) and decay > 0 else 0.01
        return f"Try optimizer.weight_decay={more:.2g}."
    if not is_number(dropout):
        return "Try more dropout: model.dropout=0.4."
    if dropout >= 0.5:
        return f"With dropout at {dropout:g} already, try optimizer.weight_decay=0.01."
    return f"Try more dropout: model.dropout={dropout + 0.2:.2g} instead of {dropout:g}."


def more_epochs(recipe: Recipe, ran: int) -> str:
    """What to try when training ended while the loss still fell."""
    limit = _setting(recipe, "training", "epochs")
    if is_number(limit) and ran < limit:
        return f"It stopped before its limit of {limit} epochs: {more_patience(recipe)}."
    return f"Try training.epochs={2 * ran}."


def more_capacity(recipe: Recipe) -> str:
    """What to try against underfitting: less dropout first, then wider layers."""
    dropout = _setting(recipe, "model", "dropout")
    if is_number(dropout) and dropout > 0:
        return f"Try model.dropout=0 instead of {dropout:g}."
    hidden = _setting(recipe, "model", "hidden")
    if isinstance(hidden, list) and hidden:
        return f"Try wider layers: 'model.hidden={[2 * width for width in hidden]}'."
    return "Try a larger network, or a higher optimizer.learning_rate."


def more_patience(recipe: Recipe) -> str:
    """The override that doubles the patience of the recipe's early stopping."""
    for key, callback in (recipe.get("callbacks") or {}).items():
        if str(callback.get("name", "")).lower() == "earlystopping":
            patience = callback.get("patience")
            doubled = max(2, 2 * patience) if is_number(patience) else 10
            return f"callbacks.{key}.patience={doubled}"
    return "callbacks.early_stopping.patience=10"


def _setting(recipe: Recipe, table: str, key: str) -> Any:
    return (recipe.get(table) or {}).get(key)
