"""A study from its begin, or from where it was stopped, to its end."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mlplab import data, files, recipes
from mlplab.config import Recipe
from mlplab.errors import RecipeError, RunError
from mlplab.families import CustomModel
from mlplab.runs import budget, lock, store
from mlplab.runs.prepare import complete
from mlplab.runs.record import ENDED
from mlplab.study import board, design
from mlplab.study.design import Study
from mlplab.study.job import Job
from mlplab.study.outcome import best_trial, result_of, run_records, write_facts
from mlplab.study.pool import Executor, Listener, Outcome, Row
from mlplab.study.trials import Trial, Trials, decoded

DATABASE = "optuna.db"
GROUND = "begun-with.json"


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


class Watcher(Protocol):
    """Hears of a study's progress."""

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        """The trials, or the final runs, are known by level."""

    def on_begin(self, level: str) -> None:
        """One was given to a worker."""

    def on_end(self, level: str, outcome: str, value: float | None) -> None:
        """One has ended."""


@dataclass(frozen=True)
class Ground:
    """What a study stands on beside its definition; it must not change while it is run.

    Attributes:
        base: the base recipe's tables.
        data: identities of the data sets.
        needed: bytes of memory that a run takes.
    """

    base: dict[str, Any]
    data: list[str]
    needed: int


def prepare(study: Study, settings: Settings) -> Ground:
    """Check a study before anything is run, and return what it stands on.

    Every level's recipe is completed, and the data set is loaded once, which fills its cache: no
    two workers decode it at the same time.

    Raises:
        UserError: for what the user can mend.
    """
    most = 0
    known: dict[str, data.Dataset] = {}
    ids: set[str] = set()
    for level in study.names:
        for point in study.corners(level):
            recipe = _completed(study, level, point, settings.trust)
            if recipe.data.validation == "test":
                raise RecipeError(
                    "a study chooses on validation, and this recipe validates on the test split:"
                    " hold validation images out of training: recipe.data.validation=0.1"
                )
            key = recipe.data.model_dump_json()
            if key not in known:
                known = {key: data.load(recipe.data, settings.data_dir, lambda text: None)}
                ids.add(known[key].data_id)
            if not isinstance(recipe.model, CustomModel):
                most = max(most, sum(budget.needed(recipe, known[key]).values()))
    base = recipes.parse(recipes.text(study.base), f"the recipe {study.base}")
    return Ground(json.loads(json.dumps(base, default=str)), sorted(ids), most or budget.PROGRAM)


def _completed(study: Study, level: str, point: dict[str, Any], trust: bool) -> Recipe:
    try:
        return complete(study.recipe_of(level, point, 0), trust)
    except RecipeError as error:
        raise RecipeError(f"level {level}: {error}") from None


def begin(study: Study, folder: Path, ground: Ground) -> None:
    """Make the study's folder, or find it as it was left.

    Raises:
        RunError: if another study lies there, or if it was begun on other ground.
        StorageError: if the runs folder cannot be written.
    """
    path = folder / store.STUDY
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
        _check_ground(folder, ground)
        files.write_text(path, study.to_toml())
        return
    if any(entry.name != ".lock" for entry in folder.iterdir()):
        raise RunError(f"{folder} is there and holds no study; give this one another --name")
    facts = {"base": ground.base, "data": ground.data}
    files.write_text(folder / GROUND, json.dumps(facts, indent=1) + "\n")
    files.write_text(path, study.to_toml())


def _extends(study: Study, there: Study, changed: Sequence[str]) -> bool:
    """Say whether a study differs from one that was begun by more trials or final runs alone."""
    now, then = study.design, there.design
    grown = now.trials >= then.trials and now.finals >= then.finals
    return grown and set(changed) <= {"design.trials", "design.finals"}


def _check_ground(folder: Path, ground: Ground) -> None:
    try:
        then = json.loads(files.text(folder / GROUND, design.LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / GROUND} is damaged: {error}") from None
    changed = recipes.differences(then, {"base": ground.base, "data": ground.data})
    if changed:
        raise RunError(
            f"{folder.name} was begun with another {', '.join(changed[:5])}: its trials would not"
            " be comparable. Undo that, or give this study a --name of its own"
        )


def conduct(
    study: Study, settings: Settings, executor: Executor, watcher: Watcher
) -> dict[str, Any]:
    """Run what is left of a study, and return its facts.

    Trials see training and validation images alone. When all have ended, the best of each level is
    run on fresh seeds, for which the test split is opened.

    Args:
        study: that :func:`begin` made a folder for.
        settings: where, and with what data.
        executor: that carries the runs out.
        watcher: hears of progress.

    Raises:
        UserError: for what the user can mend.
        StorageError: if the disk is full or the folder cannot be written.
    """
    with lock.writing(settings.folder):
        book = Trials(study, settings.folder / DATABASE)
        ended = {
            level: sum(t.state.is_finished() for t in book.all(level)) for level in study.names
        }
        watcher.on_total("trials", {level: book.total(level) for level in study.names}, ended)
        for round_ in book.rounds():
            asked = book.ask(round_)
            if asked:
                run = _Round(study, settings, book, watcher, asked)
                executor.run(list(run.jobs), run)
        write_facts(study, book, settings.folder, settings.command)
        finals = _final_jobs(study, settings, book)
        watcher.on_total(
            "finals",
            dict.fromkeys(study.names, 1),
            dict.fromkeys(study.names, 1) | {job.group: 0 for job in finals},
        )
        last = _Finals(watcher)
        if finals:
            executor.run(finals, last)
        facts = write_facts(study, book, settings.folder, settings.command, last.failures)
        board.write(settings.folder, facts)
        return facts


def _job(
    study: Study,
    settings: Settings,
    kind: Literal["trials", "finals"],
    level: str,
    key: str,
    point: dict[str, Any],
) -> Job:
    seeds = study.trial_seeds if kind == "trials" else study.final_seeds
    return Job(
        key=key,
        group=level,
        runs_dir=str(settings.folder / kind),
        recipe_name=study.base,
        recipes=[recipes.to_tables(study.recipe_of(level, point, seed)) for seed in seeds],
        open_test=kind == "finals",
        keep=study.keep,
        data_dir=str(settings.data_dir) if settings.data_dir else None,
        trust=settings.trust,
        asks=kind == "trials" and study.design.pruner != "none",
    )


@dataclass
class _Round(Listener):
    """Enters what becomes of trials, and ends those that the pruner gives up."""

    study: Study
    settings: Settings
    book: Trials
    watcher: Watcher
    asked: Sequence[Trial]
    jobs: list[Job] = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = [
            _job(self.study, self.settings, "trials", trial.level, trial.key, trial.point)
            for trial in self.asked
        ]
        self.trials = {trial.key: trial for trial in self.asked}
        self.pruned: set[str] = set()

    def on_begin(self, job: Job) -> None:
        self.watcher.on_begin(job.group)

    def on_row(self, job: Job, row: Row) -> bool:
        handle, value = self.trials[job.key].handle, row.get(f"val_{self.study.metric}")
        if not job.asks or value is None:
            return True
        with warnings.catch_warnings():
            # Taken up again, a trial tells its first epochs a second time, which Optuna ignores.
            warnings.simplefilter("ignore", UserWarning)
            handle.report(value, int(row["epoch"]))
        last = int(row["epoch"]) == job.recipes[0]["training"]["epochs"]
        if not last and handle.should_prune():
            self.pruned.add(job.key)
        return job.key not in self.pruned

    def on_end(self, job: Job, outcome: Outcome) -> None:
        trial = self.trials[job.key]
        records = run_records(Path(job.runs_dir), job.names)
        what, value = result_of(self.study, records, len(job.names))
        reason = outcome.reason
        if job.key in self.pruned:
            what, value, reason = "pruned", None, "fell behind the others"
        elif what == "diverged":
            reason = next(record.reason for record in records if record.status == "diverged")
        self.book.tell(trial, value, what, reason, outcome.attempts)
        self.watcher.on_end(trial.level, what, value)


@dataclass
class _Finals(Listener):
    """Notes which levels' final runs failed."""

    watcher: Watcher
    failures: dict[str, str] = field(default_factory=dict)

    def on_begin(self, job: Job) -> None:
        self.watcher.on_begin(job.group)

    def on_row(self, job: Job, row: Row) -> bool:
        return True

    def on_end(self, job: Job, outcome: Outcome) -> None:
        if outcome.reason is not None:
            self.failures[job.group] = outcome.reason
        self.watcher.on_end(job.group, "failed" if outcome.reason else "finished", None)


def _final_jobs(study: Study, settings: Settings, book: Trials) -> list[Job]:
    """Return the final runs of the best of each level, on seeds that no trial has used."""
    jobs = []
    for level in study.names if study.final_seeds else ():
        best = best_trial(study, book, level)
        if best is None:
            continue
        point = decoded(study.spaces(level), best.params)
        job = _job(study, settings, "finals", level, level, point)
        ended = run_records(Path(job.runs_dir), job.names)
        if sum(record.status in ENDED for record in ended) < len(job.names):
            jobs.append(job)
    return jobs
