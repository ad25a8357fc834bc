"""A study from its begin, or from where it was stopped, to its end."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mlplab import recipes
from mlplab.runs import lock
from mlplab.runs.record import ENDED
from mlplab.study import board
from mlplab.study.design import Study
from mlplab.study.ground import Settings, begun_with
from mlplab.study.job import Job
from mlplab.study.outcome import best_trial, result_of, run_records, write_facts
from mlplab.study.pool import Executor, Listener, Outcome, Row
from mlplab.study.trials import Trial, Trials, decoded

DATABASE = "optuna.db"


class Watcher(Protocol):
    """Hears of a study's progress."""

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        """The trials, or the final runs, are known by level."""

    def on_begin(self, level: str) -> None:
        """One was given to a worker."""

    def on_end(self, level: str, outcome: str, value: float | None) -> None:
        """One has ended."""


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
        before = begun_with(settings.folder).get("finals_before", [])
        facts = write_facts(study, book, settings.folder, settings.command, last.failures, before)
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
        recipe_name=study.base_of(level),
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
