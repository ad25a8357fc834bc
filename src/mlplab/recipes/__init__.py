"""Recipes: what an experiment is. Found by name or path, changed by overrides, written in full.

This package loads neither Keras nor JAX.
"""

from mlplab.recipes.explain import validate
from mlplab.recipes.overrides import Tables, leaves, override, parse_override
from mlplab.recipes.reading import (
    RENAMED,
    SHIPPED,
    header,
    load,
    names,
    parse,
    renamed,
    text,
    title,
)
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.writing import (
    config_id,
    differences,
    has_config_id,
    over_folds,
    to_tables,
    to_toml,
    with_seed,
)

__all__ = [
    "RENAMED",
    "SHIPPED",
    "Recipe",
    "Tables",
    "config_id",
    "differences",
    "has_config_id",
    "header",
    "leaves",
    "load",
    "names",
    "over_folds",
    "override",
    "parse",
    "parse_override",
    "renamed",
    "text",
    "title",
    "to_tables",
    "to_toml",
    "validate",
    "with_seed",
]
