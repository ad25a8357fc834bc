"""What a study stands on: checked before anything is run, and when it is gone on with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplab import data, files, recipes
from mlplab.errors import RecipeError, RunError
from mlplab.experiment import budget, parents
from mlplab.experiment.complete import complete
from mlplab.recipes.networks import CustomModel
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, store
from mlplab.study import design
from mlplab.study.design import Study


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a study is given beside its definition; none of it changes what is tried.

    Attributes:
        folder: of the study, in the runs folder.
        data_dir: a folder that holds the data set's.
        trust: load code of the user's own.
        command: what repeats the study.
    """

    folder: Path
    data_dir: Path | None = None
    trust: bool = False
    command: str = ""


@dataclass(frozen=True)
class Preconditions:
    """What a study stands on beside its definition; it must not change while it is run.

    Attributes:
        base: the base recipe's tables; those of several by their names.
        data: identities of the data sets.
        needed: bytes of memory that a run takes.
    """

    base: dict[str, Any]
    data: list[str]
    needed: int


def prepare(study: Study, settings: Settings) -> Preconditions:
    """Check a study before anything is run, and return what it stands on.

    Every variant's recipe is completed, and the data set is loaded once, which fills its cache: no
    two workers decode it at the same time.

    Raises:
        UserError: for what the user can mend.
    """
    most = 0
    known: dict[str, data.Dataset] = {}
    ids: set[str] = set()
    for variant in study.names:
        for point in study.corners(variant):
            recipe = _completed(study, variant, point, settings.trust)
            if recipe.data.validation == "test":
                raise RecipeError(
                    "a study chooses on validation, and this recipe validates on the test split:"
                    " hold validation images out of training: recipe.data.validation=0.1"
                )
            if parents.named(recipe):
                raise RecipeError(
                    "a study trains its networks from nothing and alone: leave [teacher] and"
                    " model.init_from out of it, and compare such runs by `mlplab compare`"
                )
            key = recipe.data.model_dump_json()
            if key not in known:
                known = {key: data.load(recipe.data, settings.data_dir, lambda text: None)}
                ids.add(known[key].data_id)
            if not isinstance(recipe.model, CustomModel):
                most = max(most, sum(budget.needed(recipe, known[key]).values()))
    names = {study.base, *map(study.base_of, study.names)}
    bases = {name: recipes.parse(recipes.text(name), f"the recipe {name}") for name in names}
    base = bases[study.base] if len(bases) == 1 else bases
    return Preconditions(
        json.loads(json.dumps(base, default=str)), sorted(ids), most or budget.PROGRAM
    )


def _completed(study: Study, variant: str, point: dict[str, Any], trust: bool) -> Recipe:
    try:
        return complete(study.recipe_of(variant, point, 0), trust)
    except RecipeError as error:
        raise RecipeError(f"variant {variant}: {error}") from None


def begin(study: Study, folder: Path, preconditions: Preconditions) -> None:
    """Make the study's folder, or find it as it was left.

    Raises:
        RunError: if another study lies there, or if it was begun on other preconditions.
        StorageError: if the runs folder cannot be written.
    """
    path = folder / layout.STUDY
    with files.storage(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        there = design.read(files.text(path, design.LARGEST), str(path))
        changed = recipes.differences(there.model_dump(), study.model_dump())
        if not _extends(study, there, changed):
            raise RunError(
                f"{folder} holds another study: it differs in {', '.join(changed[:5])}. Give this"
                " one a --name of its own, or remove that folder"
            )
        if "design.trials" in changed and store.folders(folder / "finals"):
            raise RunError(
                f"the final runs of {folder.name} have opened the test split; trials after that"
                " would be chosen with it in sight. Give the larger study a --name of its own"
            )
        facts = _check_unchanged(folder, preconditions)
        if "design.finals" in changed and store.folders(folder / "finals"):
            grown = [*facts.get("finals_before", []), there.design.finals]
            files.write_text(folder / layout.PRECONDITIONS, _json(facts | {"finals_before": grown}))
        files.write_text(path, study.to_toml())
        return
    if any(entry.name != ".lock" for entry in folder.iterdir()):
        raise RunError(f"{folder} is there and holds no study; give this one another --name")
    facts = {"base": preconditions.base, "data": preconditions.data}
    files.write_text(folder / layout.PRECONDITIONS, _json(facts))
    files.write_text(path, study.to_toml())


def _extends(study: Study, there: Study, changed: Sequence[str]) -> bool:
    """Say whether a study differs from one that was begun by more trials or final runs alone."""
    now, then = study.design, there.design
    grown = now.trials >= then.trials and now.finals >= then.finals
    return grown and set(changed) <= {"design.trials", "design.finals"}


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=1) + "\n"


def begun_with(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(files.text(folder / layout.PRECONDITIONS, design.LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / layout.PRECONDITIONS} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{folder / layout.PRECONDITIONS} is damaged: it is no table")
    return found


def _check_unchanged(folder: Path, preconditions: Preconditions) -> dict[str, Any]:
    """Return what a study was begun with, if it is what there is now."""
    then = begun_with(folder)
    now = {"base": preconditions.base, "data": preconditions.data}
    changed = recipes.differences({key: then.get(key) for key in now}, now)
    if changed:
        raise RunError(
            f"{folder.name} was begun with another {', '.join(changed[:5])}: its trials would not"
            " be comparable. Undo that, or give this study a --name of its own"
        )
    return then
