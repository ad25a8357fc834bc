"""The key that was probably meant by a word: ``epochs``, ``--epochs`` and ``lr`` have one."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mlplab.errors import SYNONYMS
from mlplab.recipes.networks import FAMILIES
from mlplab.recipes.overrides import Tables, at
from mlplab.recipes.recipe import Recipe

OF_KERAS = {
    key: f"optimizer.{key}"
    for key in ("learning_rate", "momentum", "nesterov", "weight_decay", "clipnorm", "use_ema")
}
"""Parameters of optimizers by which they are often changed; Keras is not loaded to list all."""

SHORT = {"layers": "model.hidden", "units": "model.hidden", "network": "model.name"}
"""Words that other programs use for a key whose name is another."""


def meant(word: str, tables: Mapping[str, Any] | None = None) -> str | None:
    """Return the full key, such as ``training.epochs``, that a word alone stands for, or ``None``.

    Args:
        word: a key without its table, a key in another table, an option, or a table with a name.
        tables: of the recipe, whose network and callbacks are looked through as well.
    """
    plain = word.strip("-").lower().replace("-", "_")
    plain = SYNONYMS.get(plain, plain)
    known = _keys(dict(tables or {}))
    if plain in known:
        return known[plain]
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.8)
    return known[near[0]] if near else None


def _keys(tables: Tables) -> dict[str, str]:
    """Return all full keys by their last part; a table that has a name also by its own."""
    found: dict[str, str] = {}
    name = str(at(tables, ["model", "name"]) or Recipe.model_fields["model"].default.name)
    models = {
        table: field.default if isinstance(field.default, BaseModel) else None
        for table, field in Recipe.model_fields.items()
    }
    for table, default in models.items():
        kind = FAMILIES.get(name, type(default)) if table == "model" else type(default)
        keys = getattr(kind, "model_fields", {})
        for key in keys:
            if key != "name":
                found.setdefault(key, f"{table}.{key}")
        if "name" in keys or table == "schedule":
            found[table] = f"{table}.name"
    callbacks = tables.get("callbacks")
    for key, settings in callbacks.items() if isinstance(callbacks, dict) else ():
        found.setdefault(key, f"callbacks.{key}")
        for parameter in settings if isinstance(settings, dict) else ():
            if parameter != "name":
                found.setdefault(parameter, f"callbacks.{key}.{parameter}")
    return {**OF_KERAS, **found, **SHORT}
