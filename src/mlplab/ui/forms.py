"""What a page asks to train: a shipped recipe, changed by sliders, as recipe and as command."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlplab import recipes
from mlplab.errors import RecipeError, UserError
from mlplab.recipes.overrides import at
from mlplab.recipes.recipe import Recipe
from mlplab.runs import store
from mlplab.ui.guard import inside

START = 6.0  # seconds to load Keras and to write the report
RATE = 4e10  # operations a second, until a run of this machine tells
MOST_SEEDS = 20
IMAGES = ("data.name", "data.path", "data.classes")
"""Keys that say which images a recipe is trained on."""
TESTED = re.compile(r"test (\d\d\.\d(?: ± \d\.\d)? %)")
TOOK = re.compile(r"(\d[\d.]*(?: to [\d.]+)? (?:seconds|minutes))")


def cards() -> list[dict[str, Any]]:
    """Return the shipped recipes for people to choose from."""
    return [card(name) for name in recipes.names()]


def card(name: str) -> dict[str, Any]:
    """Return a recipe's facts: what it is, what was measured, its tables."""
    _, text, *more = recipes.header(recipes.text(name))
    measured = " ".join(more)
    tested, took = TESTED.search(measured), TOOK.search(measured)
    recipe = recipes.load(name)
    return {
        "name": name,
        "text": text,
        "measured": measured,
        "test": tested[1] if tested else None,
        "time": took[1] if took else None,
        "data": recipe.data.name,
        "network": recipe.model.name,
        "tables": recipes.to_tables(recipe),
    }


def draft(name: str, changes: Mapping[str, Any], roots: Sequence[Path]) -> Recipe:
    """Return a shipped recipe with changes.

    Args:
        name: of the recipe.
        changes: values by key, ``{"model.hidden": [64, 64]}``.
        roots: folders that images may be in.

    Raises:
        RecipeError: if a key or a value is wrong.
        UserError: if images are elsewhere, or the recipe needs code of the user's own.
    """
    recipe = recipes.load(name, words(name, changes))
    path = recipe.data.path
    if path is not None and not (
        Path(path).is_absolute() and any(inside(root, path) for root in roots)
    ):
        raise UserError("data.path is not in a folder that this server may read")
    parents = [*(recipe.teacher.runs if recipe.teacher else []), _parent(recipe)]
    if any(parent is not None and not store.NAME.fullmatch(parent) for parent in parents):
        raise UserError("a run that another one starts from is named, not given as a path")
    if getattr(recipe.model, "is_custom", False):
        raise UserError("code of your own is trained from the command line, with --trust")
    return recipe


def _parent(recipe: Recipe) -> str | None:
    found: str | None = getattr(recipe.model, "init_from", None)
    return found


def words(name: str, changes: Mapping[str, Any]) -> list[str]:
    """Return changes as a command line has them, without those that change nothing.

    Raises:
        RecipeError: if the recipe does not exist, or a key has no table.
    """
    if name not in recipes.names():
        raise RecipeError(f"no recipe is called '{name}'")
    tables = recipes.to_tables(recipes.load(name))
    before = {key: at(tables, key.split(".")) for key in changes}
    # What has another name has none of the keys that it had before.
    other = {
        key.rpartition(".")[0]
        for key, value in changes.items()
        if key.endswith(".name") and value != before[key]
    }
    return [
        f"{key}={_written(value)}"
        for key, value in changes.items()
        if value != before[key] or key.rpartition(".")[0] in other
    ]


def _written(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def of_command(command: str) -> tuple[str, dict[str, Any]] | None:
    """Return the shipped recipe that a command trains, and its changes by key.

    The seed and the images are left out: a page names them elsewhere.

    Returns:
        ``None`` if the command trains no shipped recipe.
    """
    words = shlex.split(command)
    if words[:2] != ["mlplab", "train"] or words[2:3] == [] or words[2] not in recipes.names():
        return None
    options = (place for place, word in enumerate(words) if word.startswith("--"))
    found: dict[str, Any] = {}
    for word in words[3 : next(options, None)]:
        path, value = recipes.parse_override(word)
        key = ".".join(path)
        if key not in ("seed", *IMAGES):
            found[key] = None if path[0] == "callbacks" and value == "none" else value
    return words[2], found


def command(
    name: str, changes: Mapping[str, Any], run: str | None = None, seeds: Sequence[int] = (0,)
) -> str:
    """Return the command that trains what a page asks for.

    Args:
        name: of the recipe.
        changes: values by key.
        run: what the runs are called, without their seeds; by default as the recipe.
        seeds: 0, 1, … .
    """
    asked = ["--seeds", f"0..{len(seeds) - 1}"] if len(seeds) > 1 else []
    if run:
        # Of several runs, the command adds the seeds itself.
        asked += ["--name", run if len(seeds) > 1 else f"{run}-s0", "--group", run]
    return shlex.join(["mlplab", "train", name, *words(name, changes), *asked, "--layers"])


def free_name(wanted: str, taken: set[str], runs_dir: Path) -> str:
    """Return a name that no run has.

    Raises:
        RunError: if no run can be called so.
    """
    store.check_name(wanted)
    number, name = 1, wanted
    while name in taken or (runs_dir / name).exists():
        number += 1
        name = f"{wanted}-{number}"
    return name


def estimate(facts: Mapping[str, Any], recipe: Recipe, runs: Sequence[Mapping[str, Any]]) -> float:
    """Return about how many seconds a training takes, from those on this machine before.

    Args:
        facts: of the network: ``flops`` of an image's forward pass and ``images`` to train on.
        recipe: what is trained.
        runs: summaries.
    """
    held = recipe.data.validation
    images = facts["images"] * recipe.data.share * (1 - held if isinstance(held, float) else 1)
    work = 3 * facts["flops"] * images
    rates = [
        (abs(run["flops_per_example"] / facts["flops"] - 1), _rate(run))
        for run in runs
        if facts["flops"]
        and run.get("flops_per_example")
        and run.get("epoch_seconds")
        and run.get("images")
    ]
    rate = min(rates)[1] if rates else RATE
    return float(START + recipe.training.epochs * work / rate)


def _rate(run: Mapping[str, Any]) -> float:
    return 3 * float(run["flops_per_example"]) * float(run["images"]) / float(run["epoch_seconds"])
