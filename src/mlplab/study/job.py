"""One trial, or the final runs of a variant: the job of a worker, and how it is done."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlplab import recipes
from mlplab.errors import DataError, RecipeError, RunError, StorageError
from mlplab.experiment import execute, interrupt, population, resume
from mlplab.experiment.complete import complete
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, lock, store, tidy
from mlplab.runs.record import ENDED, UNFINISHED
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

STOPPING = (StorageError, DataError)
"""Errors that are not a trial's fault: the study stops, and continues when they are fixed."""


@dataclass(frozen=True)
class TrialJob:
    """Runs that differ only in their seed.

    Attributes:
        key: their name without the seed.
        group: of the runs: the variant.
        runs_dir: where their folders are created.
        recipe_name: name of their recipe.
        recipes: as tables, one for each seed.
        open_test: whether they are evaluated on the test set when they have ended.
        keep: what they leave behind.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        trust: load the user's own code.
        asks: whether it asks after each epoch if it should continue.
    """

    key: str
    group: str
    runs_dir: str
    recipe_name: str
    recipes: list[dict[str, Any]]
    open_test: bool = False
    keep: str = "results"
    data_dir: str | None = None
    trust: bool = False
    asks: bool = False

    @property
    def names(self) -> list[str]:
        """The runs' names."""
        return [f"{self.key}-s{tables['seed']}" for tables in self.recipes]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able tables."""
        return asdict(self)


class RowsOnly(NoProgress):
    """Passes on the rows of a job, and nothing else."""

    def __init__(self, tell: Callable[[dict[str, float]], None]) -> None:
        self.tell = tell

    def on_row(self, row: dict[str, float]) -> None:
        self.tell(row)


def carry_out(job: TrialJob, progress: RowsOnly) -> None:
    """Train those of a job's runs that have not ended.

    Runs that have ended are left as they are, and interrupted ones are resumed.

    Raises:
        MlplabError: for what stopped it.
    """
    options = Options(
        data_dir=Path(job.data_dir) if job.data_dir else None,
        runs_dir=Path(job.runs_dir),
        group=job.group,
        recipe_name=job.recipe_name,
        test=job.open_test,
        trust=job.trust,
        keep=job.keep,  # type: ignore[arg-type]
    )
    options.runs_dir.mkdir(parents=True, exist_ok=True)
    wanted = [recipes.validate(tables) for tables in job.recipes]
    _forget_parts(options.runs_dir, job.names)
    missing = [
        (recipe, name)
        for recipe, name in zip(wanted, job.names, strict=True)
        if not _has_ended(options, recipe, name, progress)
    ]
    if len(missing) > 1 and _together([recipe for recipe, _ in missing], job, options, progress):
        return
    for recipe, name in missing:
        execute.run(recipe, replace(options, name=name), progress)
        interrupt.end_if_asked()


def _forget_parts(runs_dir: Path, names: Sequence[str]) -> None:
    """Remove what an unfinished population left, if others would round differently."""
    there = [runs_dir / name for name in names if (runs_dir / name / layout.RECORD).exists()]
    for folder in there if len(there) < len(names) or not all(map(_is_over, there)) else ():
        population = store.read_record(folder).population
        if population is not None and population.mode == "vmap":
            tidy.remove(folder)


def _is_over(folder: Path) -> bool:
    return store.read_record(folder).status in ENDED


def _together(
    members: Sequence[Recipe], job: TrialJob, options: Options, progress: RowsOnly
) -> bool:
    """Train runs as one population, and return whether they can be."""
    try:
        population.run(members, replace(options, name=job.key), progress)
    except RecipeError:  # raised before anything is written
        return False
    interrupt.end_if_asked()
    return True


def _has_ended(options: Options, recipe: Recipe, name: str, progress: RowsOnly) -> bool:
    """Return whether a run of this name has ended; resume one that was interrupted."""
    folder = options.runs_dir / name
    if not folder.exists():
        return False
    try:
        record = store.read_record(folder)
        wanted = complete(recipe, options.trust)
        same = resume.is_run_of(wanted, Run(folder), record)
        if same and record.status in ENDED:
            return True
        if same and record.status in UNFINISHED:
            resume.resume(Run(folder), options, progress)
            interrupt.end_if_asked()
            return True
    except RunError:
        pass  # what is there cannot be resumed
    with lock.writing(folder):
        pass  # no other process needs it now
    tidy.remove(folder)
    return False
