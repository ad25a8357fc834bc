"""What a study depends on: checked before anything is run, and when it is continued."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplab import data, files, recipes
from mlplab.errors import RecipeError, RunError
from mlplab.experiment import budget, parents
from mlplab.experiment.complete import complete
from mlplab.experiment.isolation import isolated
from mlplab.recipes.networks import CustomModel
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, store
from mlplab.study import design
from mlplab.study.design import Study


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a study in addition to its definition; none of them changes what is tried.

    Attributes:
        folder: of the study, in the runs folder.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        trust: load the user's own code.
        command: command line that repeats the study.
    """

    folder: Path
    data_dir: Path | None = None
    trust: bool = False
    command: str = ""


@dataclass(frozen=True)
class Preconditions:
    """What a study depends on besides its definition; it must not change while it is run.

    Attributes:
        base: the base recipe's tables; if there are several, by their names.
        data: identities of the data sets.
        needed: bytes of memory that a run takes.
    """

    base: dict[str, Any]
    data: list[str]
    needed: int


@isolated()
def prepare(study: Study, settings: Settings) -> Preconditions:
    """Check a study before anything is run, and return what it depends on.

    Every variant's recipe is completed, and the data set is loaded once, which fills its cache: no
    two workers decode it at the same time.

    Raises:
        UserError: for what the user can fix.
    """
    most = 0
    known: dict[str, data.Dataset] = {}
    ids: set[str] = set()
    for variant in study.names:
        for point in study.corners(variant):
            recipe = _completed(study, variant, point, settings.trust)
            if recipe.data.validation == "test":
                raise RecipeError(
                    "a study chooses on validation, but this recipe validates on the test split:"
                    " hold validation images out of training: recipe.data.validation=0.1"
                )
            if parents.named(recipe):
                raise RecipeError(
                    "a study trains its networks from scratch and without teachers: leave [teacher]"
                    " and model.init_from out, and compare such runs with `mlplab compare`"
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
    """Create the study's folder, or find it as it was left.

    Raises:
        RunError: if another study is there, or if it was started with other preconditions.
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
                f"{folder} contains another study: it differs in {', '.join(changed[:5])}. Give"
                " this one another --name, or remove that folder"
            )
        if "design.trials" in changed and store.folders(folder / layout.FINALS):
            raise RunError(
                f"the final runs of {folder.name} were evaluated on the test set; later trials"
                " would be chosen with its results known. Give the larger study another --name"
            )
        facts = _check_unchanged(folder, preconditions)
        if "design.finals" in changed and store.folders(folder / layout.FINALS):
            grown = [*facts.get("finals_before", []), there.design.finals]
            files.write_text(folder / layout.PRECONDITIONS, _json(facts | {"finals_before": grown}))
        files.write_text(path, study.to_toml())
        return
    if any(entry.name != layout.LOCK for entry in folder.iterdir()):
        raise RunError(f"{folder} exists but is not a study; give this one another --name")
    facts = {"base": preconditions.base, "data": preconditions.data}
    files.write_text(folder / layout.PRECONDITIONS, _json(facts))
    files.write_text(path, study.to_toml())


def _extends(study: Study, there: Study, changed: Sequence[str]) -> bool:
    """Return whether a study differs from one already started only by more trials or final runs.

    Its title may change too: it does not affect any run.
    """
    now, then = study.design, there.design
    grown = now.trials >= then.trials and now.finals >= then.finals
    return grown and set(changed) <= {"title", "design.trials", "design.finals"}


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=1) + "\n"


def begun_with(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(files.text(folder / layout.PRECONDITIONS, design.LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / layout.PRECONDITIONS} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{folder / layout.PRECONDITIONS} is damaged: it is not a table")
    return found


def _check_unchanged(folder: Path, preconditions: Preconditions) -> dict[str, Any]:
    """Return what a study was started with, if that is unchanged."""
    then = begun_with(folder)
    now = {"base": preconditions.base, "data": preconditions.data}
    base = then.get("base")
    if isinstance(base, dict):  # tables of a recipe, or of several by their names
        then["base"] = {
            recipes.RENAMED.get(key, key) if isinstance(base[key], dict) else key: base[key]
            for key in base
        }
    changed = recipes.differences({key: then.get(key) for key in now}, now)
    if changed:
        raise RunError(
            f"{folder.name} was started with another {', '.join(changed[:5])}: its trials would"
            " not be comparable. Undo that, or give this study another --name"
        )
    return then
