"""Validation of nested tables as a recipe, with errors in the recipe's own terms."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mlplab.errors import RecipeError, nearest
from mlplab.recipes.networks import FAMILIES
from mlplab.recipes.overrides import Tables, at
from mlplab.recipes.recipe import UNION_TAGS, Recipe
from mlplab.recipes.suggestions import meant


def validate(tables: Tables) -> Recipe:
    """Check nested tables and return the recipe.

    Raises:
        RecipeError: naming the first key that is wrong, what was expected and the nearest name.
    """
    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError(_explain(error, tables)) from None


def _explain(error: ValidationError, tables: Tables) -> str:
    """Turn the first of pydantic's errors into one line in the recipe's own terms."""
    first = error.errors()[0]
    # pydantic adds the names of union members to the location; the user does not know them.
    loc = list(map(str, first["loc"]))
    if loc[:1] == ["model"]:
        del loc[1 : 1 + UNION_TAGS]
    path: list[str] = []
    for part in loc:
        if isinstance(at(tables, path), dict | list) or not path:
            path.append(part)
    where = ".".join(path) or "the recipe"
    if first["type"] == "extra_forbidden":
        table = ".".join(path[:-1])
        place = f"a key of [{table}]" if table else "a key or table of a recipe"
        return f"'{where}' is not {place}{_instead(path, tables)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing" and path[:1] == ["callbacks"]:
        others = [key for key in at(tables, ["callbacks"]) if key != path[1]]
        near = nearest(path[1], others, "")
        return f"'{where}' is missing: which callback is [callbacks.{path[1]}]{near or '?'}"
    if first["type"] == "missing":
        return f"'{where}' is missing"
    if first["type"] == "union_tag_invalid":
        wrong = str(at(tables, ["model", "name"]))
        return f"model.name: unknown model '{wrong}'{nearest(wrong, FAMILIES)}"
    if first["type"] == "value_error":
        return message if path == ["data"] else f"{where}: {message}"
    if first["type"] in ("model_type", "dict_type", "model_attributes_type"):
        keys = _known_keys(path, tables)
        if isinstance(first["input"], str) and keys and "name" not in keys:
            return f"'{where}' is a table, with the keys {', '.join(keys)}"
        if isinstance(first["input"], str):
            return f"'{where}' is a table; to name what it is, write {where}.name={first['input']}"
        first["msg"] = "it is a table of keys"
    if first["type"] == "list_type" and isinstance(first["input"], str | int | float):
        item = "" if first["input"] == "none" else str(first["input"]).strip("()")
        return f"{where} is a list: '{where}=[{item}]'"
    return wrong_value(where, first)


def wrong_value(where: str, error: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors about a value in one line, under the name of its key."""
    value, message = error["input"], error["msg"].removeprefix("Value error, ")
    if error["type"].startswith("int_") and isinstance(value, float) and value.is_integer():
        return f"{where} = {value} is wrong: it is a whole number; write {where}={value:.0f}"
    given = repr(value)
    shown = given if len(given) < 60 else f"{given[:57]}..."
    return f"{where} = {shown} is wrong: {message[0].lower()}{message[1:]}"


def _instead(path: Sequence[str], tables: Tables) -> str:
    """Return the key that was meant by one that does not exist, or those to choose from."""
    known = _known_keys(path[:-1], tables)
    key = meant(path[-1], tables)
    if len(path) == 1 and key and key.split(".")[-1] == path[0]:
        return f"; did you mean '{key}'?"  # exactly so, in a table
    elsewhere = f"; did you mean '{key}'?" if key else None
    return nearest(path[-1], known, elsewhere)


def _known_keys(path: Sequence[str], tables: Tables) -> list[str]:
    if list(path) == ["model"]:
        default = Recipe.model_fields["model"].default
        name = str(at(tables, ["model", "name"]) or default.name)
        return list(FAMILIES.get(name, type(default)).model_fields)
    model: type[BaseModel] = Recipe
    for key in path:
        field = model.model_fields.get(key)
        # A table that may be absent is a union with None.
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        tables_there = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not tables_there:
            return []
        model = tables_there[0]
    return list(model.model_fields)
