"""The definition of a study: a TOML file with a base recipe, variants, searches and a design.

A leaf of ``[vary]`` or of a variant is a value, or what is searched:
``{ low = 1e-4, high = 1e-1, log = true }`` or ``{ choices = [64, 128] }``.
"""

import copy
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mlplab import recipes
from mlplab.errors import RecipeError, nearest
from mlplab.recipes.explain import wrong_value
from mlplab.recipes.recipe import Recipe
from mlplab.recipes.suggestions import meant
from mlplab.study.search_space import Range, Space, ends, leaves, searched
from mlplab.text import line

VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
LARGEST = 1_000_000
MOST_CELLS = 10_000
MEASURED = ("name", "path", "classes", "validation", "test")
"""Keys of [data] that determine on which images variants are evaluated."""

Tables = dict[str, Any]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Design(_Table):
    """``[design]``: how much is tried, and how.

    Attributes:
        kind: how each variant's trials are chosen. ``grid`` takes every combination of choices.
        trials: of each variant; of a grid it follows from the choices.
        replicates: runs of each trial, which differ only in their seed.
        batch: trials that the ``bayesian`` search proposes at a time, before any result.
        pruner: what ends trials that fall behind.
        finals: runs of each variant's best trial on fresh seeds, evaluated on the test set.
        seed: of the search, and the first seed of the trials; the finals take those that follow.
    """

    kind: Literal["grid", "random", "quasirandom", "bayesian"] = "quasirandom"
    trials: int = Field(20, ge=1, le=10_000)
    replicates: int = Field(1, ge=1, le=100)
    batch: int = Field(4, ge=1, le=100)
    pruner: Literal["none", "median", "successive-halving"] = "none"
    finals: int = Field(5, ge=0, le=100)
    seed: int = Field(0, ge=0, lt=2**30)


class Study(_Table):
    """A study.

    Attributes:
        title: the question that it asks.
        base: the recipe that all other settings change.
        metric: of validation, by which trials are ranked.
        target: validation accuracy, the time to which is measured.
        reference: the variant that the others are compared with; by default the best on validation.
        keep: what runs leave behind: their results, or their networks too.
        recipe: changes to the base recipe for all variants.
        vary: what is searched in every variant.
        variants: what is compared: changes to the recipe by name, which may have their own
            searches and their own ``base``.
        design: how much is tried.
    """

    title: str = ""
    base: str
    metric: Literal["accuracy", "loss"] = "accuracy"
    target: float | None = Field(None, gt=0, lt=1)
    reference: str | None = None
    keep: Literal["results", "model"] = "results"
    recipe: Tables = {}
    vary: Tables = {}
    variants: dict[str, Tables] = Field({}, max_length=1000)
    design: Design = Design()

    @field_validator("variants")
    @classmethod
    def _names(cls, variants: dict[str, Tables]) -> dict[str, Tables]:
        for name in variants:
            if not VARIANT.fullmatch(name):
                raise ValueError(
                    f"'{line(name)[:60]}' cannot name a variant: use up to 40 letters, digits, '.',"
                    " '-', '_' and '+'"
                )
        return variants

    @property
    def names(self) -> list[str]:
        """The variants; ``all`` in a study that compares none."""
        return list(self.variants) or ["all"]

    @property
    def maximise(self) -> bool:
        """Whether more of the metric is better."""
        return self.metric == "accuracy"

    def base_of(self, variant: str) -> str:
        """Return the base recipe of a variant: its own, or the study's."""
        return str(self.variants.get(variant, {}).get("base", self.base))

    def changes(self, variant: str) -> Tables:
        """Return what a variant changes in its base recipe, and what it searches."""
        return {
            key: value for key, value in self.variants.get(variant, {}).items() if key != "base"
        }

    def spaces(self, variant: str) -> dict[str, Space]:
        """Return what is searched in a variant, by ``table.key``; its keys override the study's."""
        found = searched(self.vary) | searched(self.changes(variant))
        fixed = {".".join(path) for path, value in leaves(self.changes(variant))}
        return {key: space for key, space in found.items() if key not in fixed}

    def recipe_of(self, variant: str, point: Mapping[str, Any], seed: int) -> Recipe:
        """Return the recipe of a variant at a point of its spaces.

        Raises:
            RecipeError: if there is none.
        """
        base = self.base_of(variant)
        tables = recipes.parse(recipes.text(base), f"the recipe {base}")
        tables = recipes.override(tables, leaves(self.recipe))
        own = leaves(self.vary) + leaves(self.changes(variant))
        own += [(key.split("."), value) for key, value in point.items()]
        return recipes.with_seed(recipes.validate(recipes.override(tables, own)), seed)

    @property
    def trial_seeds(self) -> range:
        """Seeds of each trial's runs."""
        return range(self.design.seed, self.design.seed + self.design.replicates)

    @property
    def final_seeds(self) -> range:
        """Seeds of the final runs, which no trial has used."""
        first = self.trial_seeds.stop
        return range(first, first + self.design.finals)

    def corners(self, variant: str) -> list[dict[str, Any]]:
        """Return points that together have every choice and both ends of every range."""
        spaces = self.spaces(variant)
        first = {key: ends(space)[0] for key, space in spaces.items()}
        others = [first | {key: end} for key, space in spaces.items() for end in ends(space)[1:]]
        return [first, *others]

    def to_toml(self) -> str:
        """Return it as TOML text that reads back to an equal study."""
        tables = self.model_dump(exclude_none=True)
        return tomli_w.dumps({key: value for key, value in tables.items() if value != {}})


SHIPPED = resources.files("mlplab.study") / "shipped"


def names() -> list[str]:
    """Return the names of the shipped studies."""
    return recipes.names(SHIPPED)


def text(name_or_path: str) -> str:
    """Return the TOML text of a shipped study or of a ``.toml`` file.

    Raises:
        RecipeError: if there is neither such a name nor such a file.
    """
    return recipes.text(name_or_path, "study", SHIPPED)


def load(
    name_or_path: str, quick: bool = False, overrides: Mapping[str, Any] | None = None
) -> Study:
    """Read a study.

    Args:
        name_or_path: a shipped name, or the path of a ``.toml`` file.
        quick: let its ``[quick]`` table override the rest.
        overrides: values by ``table.key``, which override both.

    Raises:
        RecipeError: if it is wrong, or one of its recipes is; the message names the key.
    """
    tables = _current(recipes.parse(text(name_or_path), f"the study {name_or_path}"))
    shorter = tables.pop("quick", None)
    if quick:
        if not isinstance(shorter, dict):
            raise RecipeError(f"the study {name_or_path} has no [quick] form")
        tables = _merged(tables, _current(shorter))
    for key, value in (overrides or {}).items():
        tables = _merged(tables, _current(_nested(key.split("."), value)))
    return check(tables)


def _current(tables: Tables) -> Tables:
    """Return a study's tables with current keys and names of recipes: variants were levels once."""
    renamed = "variants" not in tables
    found = {("variants" if key == "levels" and renamed else key): tables[key] for key in tables}
    for table in (found, *_variant_tables(found)):
        if isinstance(table.get("base"), str):
            table["base"] = recipes.RENAMED.get(table["base"], table["base"])
    return found


def _variant_tables(tables: Tables) -> list[Tables]:
    """Replace the tables of variants by copies, and return these."""
    variants = tables.get("variants")
    if not isinstance(variants, dict):
        return []
    copies = {k: dict(v) if isinstance(v, dict) else v for k, v in variants.items()}
    tables["variants"] = copies
    return [table for table in copies.values() if isinstance(table, dict)]


def check(tables: Tables) -> Study:
    """Check a study's tables, and that each variant is a valid recipe.

    Raises:
        RecipeError: naming what is wrong.
    """
    try:
        study = Study.model_validate(_current(tables))
        for variant in study.names:
            _check_recipes(study, variant)
            _check_images(study, variant)
            _check_grid(study, variant)
        if study.design.pruner != "none" and study.design.replicates > 1:
            raise RecipeError(
                "a pruner works with one run per trial: use design.replicates=1, or"
                " design.pruner=none"
            )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the study"
        if first["type"] == "extra_forbidden":
            raise RecipeError(
                f"'{where}' is not a key of a study{_instead(first['loc'])}"
            ) from None
        if first["type"] == "missing":
            raise RecipeError(f"'{where}' is missing from the study") from None
        if first["type"] == "value_error":
            raise RecipeError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
        if first["type"] in ("model_type", "dict_type", "model_attributes_type"):
            first["msg"] = "it is a table of keys"
        raise RecipeError(wrong_value(where, first)) from None
    if study.reference is not None and study.reference not in study.names:
        raise RecipeError(
            f"reference = '{study.reference}' is not a variant"
            f"{nearest(study.reference, study.names)}"
        )
    return study


def _instead(loc: tuple[Any, ...]) -> str:
    """Return the key of a study that was meant by one that does not exist."""
    word = str(loc[-1])
    if loc[0] == "design":
        return nearest(word, Design.model_fields)
    if word in Design.model_fields:
        return f"; did you mean 'design.{word}'?"
    key = word if word in Recipe.model_fields else meant(word)
    return nearest(word, Study.model_fields, f"; did you mean 'recipe.{key}'?" if key else None)


def _check_recipes(study: Study, variant: str) -> None:
    try:
        for point in study.corners(variant):
            study.recipe_of(variant, point, study.design.seed)
    except RecipeError as error:
        raise RecipeError(f"variant {variant}: {error}" if study.variants else str(error)) from None


def _check_grid(study: Study, variant: str) -> None:
    if study.design.kind != "grid":
        return
    cells = 1
    for key, space in study.spaces(variant).items():
        if isinstance(space, Range):
            raise RecipeError(
                f"a grid takes only choices, but {key} is a range: write {{ choices = [...] }}"
            )
        cells *= len(space.choices)
    if cells > MOST_CELLS:
        raise RecipeError(f"the grid of {variant} has {cells:,} cells; at most {MOST_CELLS:,}")


def _check_images(study: Study, variant: str) -> None:
    """Refuse variants and trials that are evaluated on other images than the rest."""
    said = study.spaces(variant).keys() | {
        ".".join(path) for path, _ in leaves(study.vary) + leaves(study.changes(variant))
    }
    first, own = (
        study.recipe_of(name, study.corners(name)[0], 0).data for name in (study.names[0], variant)
    )
    for key in MEASURED:
        if f"data.{key}" in said or getattr(own, key) != getattr(first, key):
            raise RecipeError(
                f"data.{key} changes the evaluated images: set it for all, in [recipe], or make two"
                " studies"
            )


def _merged(one: Tables, other: Tables) -> Tables:
    """Return the tables with others merged over them; searches are replaced as a whole."""
    result = copy.deepcopy(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        searched = isinstance(value, dict) and {"low", "high", "choices"} & value.keys()
        result[key] = _merged(result[key], value) if both and not searched else value
    return result


def _nested(path: list[str], value: Any) -> Tables:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}


def read(toml: str, what: str) -> Study:
    """Read what :meth:`Study.to_toml` wrote.

    Raises:
        RecipeError: if it is damaged.
    """
    try:
        return check(tomllib.loads(toml))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{what} is damaged: {error}") from None
