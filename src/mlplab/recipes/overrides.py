"""Overrides: ``table.key=value`` as on the command line, set in a recipe's tables."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from mlplab.errors import RecipeError

Tables = dict[str, Any]
BARE_LIST = re.compile(r"\[[\w\s,./-]*\]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
REMOVABLE = (["schedule"], ["average"], ["teacher"], ["callbacks"], ["augment"])
"""Tables that a recipe may do without, besides those of single callbacks."""


def parse_override(item: str) -> tuple[list[str], Any]:
    """Split ``"table.key=value"`` into the path and the value.

    The value is TOML; a bare word that is not TOML is a string, also within brackets. Numbers and
    booleans may also be written as in Python: ``.001``, ``1.``, ``True``.

    Raises:
        RecipeError: if there is no ``=`` or the path is empty.
    """
    path, equals, value = item.partition("=")
    keys = path.strip().split(".")
    if not equals and re.fullmatch(r"\w+(\.\w+)*", item):
        raise RecipeError(f"'{item}' has no value; write {item}=VALUE")
    if not equals or not all(keys):
        raise RecipeError(f"'{item}' is not an override; write table.key=value")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")
        if list(parsed) == ["value"]:
            return keys, parsed["value"]
    except (ValueError, RecursionError):
        pass
    if BARE_LIST.fullmatch(value.strip()):
        words = map(str.strip, value.strip()[1:-1].split(","))
        return keys, [_word(word) for word in words if word]
    return keys, _word(value.strip())


def _word(text: str) -> bool | float | str:
    """Return what a word that is not TOML means: a number or a boolean of Python's, or itself."""
    if text in ("True", "False"):
        return text == "True"
    return float(text) if NUMBER.fullmatch(text) else text


def override(tables: Tables, pairs: Sequence[tuple[Sequence[str], Any]]) -> Tables:
    """Return the recipe's tables with the pairs of path and value set.

    Setting ``<table>.name`` drops the other keys that the recipe had in that table, whatever the
    order of the pairs: they belonged to what was named before. Setting a callback, all callbacks,
    the schedule, the average, the teacher or the augmentation to ``"none"`` removes it.
    """
    result: Tables = json.loads(json.dumps(tables, default=str))
    for path, _ in pairs:
        if len(path) > 1 and path[-1] == "name" and isinstance(at(result, path[:-1]), dict):
            _table_for(result, path).clear()
    for path, value in pairs:
        table = _table_for(result, path)
        if isinstance(value, str) and value.lower() == "none" and _removable(path):
            table.pop(path[-1], None)
        else:
            table[path[-1]] = value
    return result


def _removable(path: Sequence[str]) -> bool:
    return list(path) in REMOVABLE or (len(path) == 2 and path[0] == "callbacks")


def at(tables: Tables, path: Sequence[str]) -> Any:
    """Return the value at a path of nested tables, or ``None``."""
    value: Any = tables
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _table_for(tables: Tables, path: Sequence[str]) -> Tables:
    """Return the table that holds the last key of the path, created if it is missing."""
    table = tables
    for depth, key in enumerate(path[:-1]):
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            where = ".".join(path[: depth + 1])
            raise RecipeError(f"'{where}' is a value, not a table; cannot set '{'.'.join(path)}'")
        table = inner
    return table


def leaves(tables: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[list[str], Any]]:
    """Flatten nested tables into pairs of path and value; Python's ``None`` is ``"none"``."""
    pairs: list[tuple[list[str], Any]] = []
    for key, value in tables.items():
        if isinstance(value, Mapping) and value:
            pairs += leaves(value, (*path, key))
        else:
            pairs.append(([*path, key], "none" if value is None else value))
    return pairs
