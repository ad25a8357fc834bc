"""Recipes found by name or path, and read."""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from mlplab import files
from mlplab.errors import RecipeError, nearest
from mlplab.recipes.explain import validate
from mlplab.recipes.overrides import Tables, leaves, override, parse_override
from mlplab.recipes.recipe import Recipe

LARGEST = 1_000_000
"""Bytes of a recipe's file."""

SHIPPED = resources.files("mlplab.recipes") / "shipped"
RENAMED = {"seed": "published", "seed-honest": "published-honest"}
"""Current names of recipes, by their earlier names."""


def names(folder: Traversable = SHIPPED) -> list[str]:
    """Return the names of the recipes that ship with mlplab, or of other TOML files in a folder."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def renamed(name_or_path: str) -> str | None:
    """Return a line that gives a recipe's current name, if it was renamed."""
    new = RENAMED.get(name_or_path)
    return new and f"the recipe {name_or_path} is now called {new}; the old name still works"


def title(name_or_path: str) -> str:
    """Return a recipe's name: its current shipped name, or its file's name."""
    return Path(RENAMED.get(name_or_path, name_or_path)).stem


def text(name_or_path: str, kind: str = "recipe", folder: Traversable = SHIPPED) -> str:
    """Return the TOML text of a shipped recipe or of a ``.toml`` file.

    Args:
        name_or_path: a shipped name, or a path that ends in ``.toml``.
        kind: what it is, for messages.
        folder: where the shipped ones are.

    Raises:
        RecipeError: if there is neither such a name nor such a file.
    """
    name_or_path = RENAMED.get(name_or_path, name_or_path)
    if not name_or_path.endswith(".toml"):
        known = names(folder)
        if name_or_path not in known:
            near = nearest(name_or_path, known)
            raise RecipeError(
                f"no {kind} is called '{name_or_path}'{near}{'' if near.endswith('?') else '.'}"
                f" For your own {kind}, give a path that ends in .toml."
            )
        return folder.joinpath(f"{name_or_path}.toml").read_text("utf-8")
    try:
        return files.text(files.expanded(name_or_path), LARGEST)
    except OSError as error:
        raise RecipeError(f"cannot read the {kind} {name_or_path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(
            f"the {kind} {name_or_path} is not UTF-8 text; save it as UTF-8"
        ) from None


def header(toml: str) -> list[str]:
    """Return the comment at the top of a recipe or a study: the command, then what it is."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), toml.splitlines())
    return [line.lstrip("# ") for line in lines]


def load(name_or_path: str, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        name_or_path: a shipped name, or the path of a ``.toml`` file.
        overrides: ``"table.key=value"`` as on the command line, or nested tables.

    Raises:
        RecipeError: if the recipe or an override is wrong; the message names the key.
    """
    tables = parse(text(name_or_path), f"the recipe {name_or_path}")
    if isinstance(overrides, Mapping):
        pairs = leaves(overrides)
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
        raise RecipeError(f"{what} is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{what} is not TOML: {error}") from None
    except ValueError:  # from Python, for more than 4,300 digits
        raise RecipeError(f"{what} has a number with thousands of digits") from None
