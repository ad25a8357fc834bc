"""Recipes as tables and as TOML, and what identifies them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from mlplab.recipes.explain import validate
from mlplab.recipes.overrides import Tables
from mlplab.recipes.recipe import Recipe


def to_tables(recipe: Recipe) -> Tables:
    """Return the recipe as nested plain tables, every default written out, ``None`` as "none"."""
    tables = recipe.model_dump()
    return {key: value for key, value in tables.items() if value != {}}


def to_toml(recipe: Recipe) -> str:
    """Return the complete recipe as TOML text that :func:`load` reads back to an equal recipe."""
    return tomli_w.dumps(to_tables(recipe))


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return the paths of the keys in which two recipes' tables differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = list(dict.fromkeys([*one, *other]))
        parts = [(f"{path}.{key}".lstrip("."), one.get(key), other.get(key)) for key in keys]
        return [found for where, a, b in parts for found in differences(a, b, where)]
    return [] if one == other else [path]


TRACKERS = "track"
"""The name of callbacks that only report a run, and are no part of what it is."""

SPLITS = ["train", "validation", "test"]
"""Stands for ``evaluation.splits`` in every identity; it was the default once."""

ADDED: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("data", "channels", ("auto", 3)),
    ("data", "fit", ("crop",)),
    ("data", "exclude", ("none",)),
    ("data", "fold", ("none",)),
    ("evaluation", "calibrate", ("none",)),
)
"""Keys that recipes have had since later, and values that leave a recipe what it was before."""


def config_id(
    recipe: Recipe,
    sources: Mapping[str, str] | None = None,
    data: str | None = None,
    code: str | None = None,
) -> str:
    """Return the identity of the configuration: 12 hex digits over the recipe without its seed.

    The splits that are evaluated at the end are left out too, and so are trackers: they do not
    change the training.

    Args:
        recipe: complete.
        sources: identities of the runs that the recipe names, by their names. So replicates that
            each start from a different replicate of one configuration have the same identity.
        data: identity of the images of ``data.path``, which counts instead of the path: images
            that were moved, or a path in another form, are the same configuration.
        code: hash of the user's own code that the recipe names, if it names any.
    """
    return _hash(recipe, SPLITS, sources, data, code)


def has_config_id(
    known: str,
    recipe: Recipe,
    sources: Mapping[str, str] | None = None,
    data: str | None = None,
    code: str | None = None,
) -> bool:
    """Return whether ``known`` is the identity of a recipe, also in its earlier form.

    Records of earlier versions have one that was computed with the recipe's own splits.
    """
    return known in (
        config_id(recipe, sources, data, code),
        _hash(recipe, recipe.evaluation.splits, sources, data, code),
    )


def _hash(
    recipe: Recipe,
    splits: Sequence[str],
    sources: Mapping[str, str] | None,
    data: str | None,
    code: str | None,
) -> str:
    tables = to_tables(recipe)
    if code is not None:
        tables["code"] = code
    del tables["seed"]
    tables["evaluation"]["splits"] = list(splits)
    if kept := _without_trackers(tables.pop("callbacks", {})):
        tables["callbacks"] = kept
    if recipe.data.path is not None and data is not None:
        tables["data"]["path"] = data  # without the files that data.exclude lists
        tables["data"]["exclude"] = "none"
    for table, key, before in ADDED:
        if tables[table][key] in before:
            del tables[table][key]
    known = sources or {}
    if isinstance(tables.get("teacher"), dict):
        tables["teacher"]["runs"] = [known.get(name, name) for name in tables["teacher"]["runs"]]
    for key in {"init_from", "weights"} & tables["model"].keys():
        name = tables["model"][key]
        tables["model"][key] = known.get(name, name)
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _without_trackers(callbacks: Tables) -> Tables:
    return {key: told for key, told in callbacks.items() if told["name"].lower() != TRACKERS}


def over_folds(recipe: Recipe, folds: int) -> list[Recipe]:
    """Return a recipe for each of several folds.

    Raises:
        RecipeError: if there are fewer than two, or the recipe holds out no training images.
    """
    tables = to_tables(recipe)
    return [
        validate({**tables, "data": tables["data"] | {"fold": [fold, folds]}})
        for fold in range(1, folds + 1)
    ]


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return the recipe with another seed.

    Raises:
        RecipeError: if the seed is out of range.
    """
    return validate({**to_tables(recipe), "seed": seed})
