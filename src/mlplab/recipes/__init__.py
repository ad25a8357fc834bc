"""Recipes: found by name or path, changed by overrides, written out in full."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from mlplab import config, families, files
from mlplab.errors import RecipeError, nearest

Tables = dict[str, Any]
LARGEST = 1_000_000
"""Bytes of a recipe's file."""


SHIPPED = resources.files(__name__)
BARE_LIST = re.compile(r"\[[\w\s,./-]*\]")


def names(folder: Traversable = SHIPPED) -> list[str]:
    """Return the names of the recipes, or of what else lies in a folder, that ship with mlplab."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def text(name_or_path: str, kind: str = "recipe", folder: Traversable = SHIPPED) -> str:
    """Return the TOML text of a shipped recipe or of a ``.toml`` file.

    Args:
        name_or_path: a shipped name, or a path that ends in ``.toml``.
        kind: what it is, for messages.
        folder: where those lie that ship.

    Raises:
        RecipeError: if there is neither such a name nor such a file.
    """
    if not name_or_path.endswith(".toml"):
        known = names(folder)
        if name_or_path not in known:
            near = nearest(name_or_path, known)
            raise RecipeError(
                f"no {kind} is called '{name_or_path}'{near}{'' if near.endswith('?') else '.'}"
                f" A {kind} of your own is given as a path that ends in .toml."
            )
        return folder.joinpath(f"{name_or_path}.toml").read_text("utf-8")
    try:
        return files.text(Path(name_or_path), LARGEST)
    except OSError as error:
        raise RecipeError(f"cannot read the {kind} {name_or_path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"the {kind} {name_or_path} is not UTF-8 text") from None


def load(name_or_path: str, overrides: Sequence[str] | Mapping[str, Any] = ()) -> config.Recipe:
    """Read a recipe and apply overrides.

    Args:
        name_or_path: a shipped name, or the path of a ``.toml`` file.
        overrides: ``"table.key=value"`` as on the command line, or nested tables.

    Raises:
        RecipeError: if the recipe or an override is wrong; the message names the key.
    """
    tables = parse(text(name_or_path), f"the recipe {name_or_path}")
    if isinstance(overrides, Mapping):
        pairs = _leaves(overrides)
    else:
        pairs = [parse_override(item) for item in overrides]
    return validate(override(tables, pairs))


def parse(toml: str, what: str) -> Tables:
    """Return the tables of TOML text.

    Raises:
        RecipeError: if ``what`` is not TOML.
    """
    try:
        return tomllib.loads(toml)
    except RecursionError:
        raise RecipeError(f"{what} has too many brackets within brackets") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{what} is not TOML: {error}") from None
    except ValueError:  # Python's, of more than 4,300 digits
        raise RecipeError(f"{what} has a number of thousands of digits") from None


def parse_override(item: str) -> tuple[list[str], Any]:
    """Split ``"table.key=value"`` into the path and the value.

    The value is TOML; a bare word that is not TOML is a string, also within brackets.

    Raises:
        RecipeError: if there is no ``=`` or the path is empty.
    """
    path, equals, value = item.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"'{item}' is not an override; write table.key=value")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")
        if list(parsed) == ["value"]:
            return keys, parsed["value"]
    except (ValueError, RecursionError):
        pass
    if BARE_LIST.fullmatch(value.strip()):
        return keys, [word.strip() for word in value.strip()[1:-1].split(",") if word.strip()]
    return keys, value.strip()


def override(tables: Tables, pairs: Sequence[tuple[Sequence[str], Any]]) -> Tables:
    """Return the recipe's tables with the pairs of path and value set.

    Setting ``<table>.name`` drops the other keys that the recipe had in that table, whatever the
    order of the pairs: they belonged to what was named before. Setting a callback, the schedule,
    the average or the teacher to ``"none"`` removes it.
    """
    result: Tables = json.loads(json.dumps(tables, default=str))
    for path, _ in pairs:
        if len(path) > 1 and path[-1] == "name" and isinstance(_at(result, path[:-1]), dict):
            _table_for(result, path).clear()
    for path, value in pairs:
        table = _table_for(result, path)
        if isinstance(value, str) and value.lower() == "none" and _removable(path):
            table.pop(path[-1], None)
        else:
            table[path[-1]] = value
    return result


def _removable(path: Sequence[str]) -> bool:
    return list(path) in (["schedule"], ["average"], ["teacher"]) or (
        len(path) == 2 and path[0] == "callbacks"
    )


def _at(tables: Tables, path: Sequence[str]) -> Any:
    value: Any = tables
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _table_for(tables: Tables, path: Sequence[str]) -> Tables:
    """Return the table that holds the last key of the path, made where it was missing."""
    table = tables
    for depth, key in enumerate(path[:-1]):
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            where = ".".join(path[: depth + 1])
            raise RecipeError(f"'{where}' is a value, not a table; '{'.'.join(path)}' has no place")
        table = inner
    return table


def _leaves(tables: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[list[str], Any]]:
    """Flatten nested tables into pairs of path and value; Python's ``None`` is ``"none"``."""
    pairs: list[tuple[list[str], Any]] = []
    for key, value in tables.items():
        if isinstance(value, Mapping) and value:
            pairs += _leaves(value, (*path, key))
        else:
            pairs.append(([*path, key], "none" if value is None else value))
    return pairs


def validate(tables: Tables) -> config.Recipe:
    """Check nested tables and return the recipe.

    Raises:
        RecipeError: naming the first key that is wrong, what was expected and the nearest name.
    """
    try:
        return config.Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError(_explain(error, tables)) from None


def _explain(error: ValidationError, tables: Tables) -> str:
    """Turn the first of pydantic's complaints into one line in the recipe's own words."""
    first = error.errors()[0]
    # Members of a union appear in the location by the name of their type: not the user's words.
    path: list[str] = []
    for part in map(str, first["loc"]):
        if isinstance(_at(tables, path), dict | list) or not path:
            path.append(part)
    where = ".".join(path) or "the recipe"
    if first["type"] == "extra_forbidden":
        table = ".".join(path[:-1])
        place = f"a key of [{table}]" if table else "a table of a recipe"
        return f"'{where}' is not {place}{nearest(path[-1], _known_keys(path[:-1], tables))}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"'{where}' is missing"
    if first["type"] == "value_error":
        if path == ["model"]:
            wrong = str(_at(tables, ["model", "name"]))
            return f"model.name: {message}{nearest(wrong, families.FAMILIES)}"
        return message if path == ["data"] else f"{where}: {message}"
    if first["type"] in ("model_type", "dict_type") and isinstance(first["input"], str):
        return f"'{where}' is a table; to name what it is, write {where}.name={first['input']}"
    if first["type"] == "list_type" and isinstance(first["input"], str):
        item = "" if first["input"] == "none" else first["input"]
        return f"{where} is a list: '{where}=[{item}]'"
    given = repr(first["input"])
    shown = given if len(given) < 60 else f"{given[:57]}..."
    return f"{where} = {shown} is wrong: {message[0].lower()}{message[1:]}"


def _model_name(tables: Tables) -> str:
    return str(tables.get("model", {}).get("name", "mlp"))


def _known_keys(path: Sequence[str], tables: Tables) -> list[str]:
    if list(path) == ["model"]:
        family = families.FAMILIES.get(_model_name(tables), families.MLP)
        return list(family.model_fields)
    model: type[BaseModel] = config.Recipe
    for key in path:
        field = model.model_fields.get(key)
        # A table that may be absent is a union with None.
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        tables_there = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not tables_there:
            return []
        model = tables_there[0]
    return list(model.model_fields)


def to_tables(recipe: config.Recipe) -> Tables:
    """Return the recipe as nested plain tables, every default written out, ``None`` as "none"."""
    tables = recipe.model_dump()
    return {key: value for key, value in tables.items() if value != {}}


def to_toml(recipe: config.Recipe) -> str:
    """Return the complete recipe as TOML text that :func:`load` reads back to an equal recipe."""
    return tomli_w.dumps(to_tables(recipe))


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return the paths of the keys that two recipes' tables differ in."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = list(dict.fromkeys([*one, *other]))
        parts = [(f"{path}.{key}".lstrip("."), one.get(key), other.get(key)) for key in keys]
        return [found for where, a, b in parts for found in differences(a, b, where)]
    return [] if one == other else [path]


def config_id(recipe: config.Recipe, sources: Mapping[str, str] | None = None) -> str:
    """Return the identity of the configuration: 12 hex digits over the recipe less its seed.

    Args:
        recipe: complete.
        sources: identities of the runs that the recipe names, by their names. Replicates that
            start from replicates of one configuration, each from its own, are of one as well.
    """
    tables = to_tables(recipe)
    del tables["seed"]
    known = sources or {}
    if isinstance(tables.get("teacher"), dict):
        tables["teacher"]["runs"] = [known.get(name, name) for name in tables["teacher"]["runs"]]
    for key in {"init_from", "weights"} & tables["model"].keys():
        name = tables["model"][key]
        tables["model"][key] = known.get(name, name)
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def with_seed(recipe: config.Recipe, seed: int) -> config.Recipe:
    """Return the recipe with another seed.

    Raises:
        RecipeError: if the seed is out of range.
    """
    return validate({**to_tables(recipe), "seed": seed})
