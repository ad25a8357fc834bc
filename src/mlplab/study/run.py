"""Running a study to its end, from the beginning or from where it was stopped."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from mlplab import recipes
from mlplab.runs import layout, lock, store
from mlplab.runs.record import ENDED
from mlplab.study.design import Study
from mlplab.study.job import TrialJob
from mlplab.study.outcome import best_trial, result_of, run_records, write_facts
from mlplab.study.pool import Executor, Listener, Outcome, Row
from mlplab.study.preconditions import Settings, begun_with
from mlplab.study.trials import Trial, Trials, decoded, has_failed
from mlplab.tensorboard import hparams


class StudyProgress(Protocol):
    """What a study reports while it runs."""

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        """The numbers of trials, or of final runs, are known by variant."""

    def on_begin(self, variant: str) -> None:
        """One was started by a worker."""

    def on_end(self, variant: str, outcome: str, value: float | None) -> None:
        """One has ended."""


def conduct(
    study: Study, settings: Settings, executor: Executor, progress: StudyProgress
) -> dict[str, Any]:
    """Run what is left of a study, and return its facts.

    Trials see only training and validation images. When all have ended, the best of each variant
    is run on fresh seeds and evaluated on the test set. Trials that failed are run again, unless
    final runs of their variant have already been evaluated.

    Args:
        study: the study, whose folder :func:`begin` has created.
        settings: where, and with what data.
        executor: executes the runs.
        progress: receives the study's reports.

    Raises:
        UserError: for what the user can fix.
        StorageError: if the disk is full or the folder cannot be written.
    """
    with lock.writing(settings.folder):
        book = Trials(study, settings.folder / layout.TRIALS_DATABASE)
        chosen = _with_finals(settings)
        ended = {
            variant: sum(
                trial.state.is_finished() and (variant in chosen or not has_failed(trial))
                for trial in book.all(variant)
            )
            for variant in study.names
        }
        progress.on_total(
            "trials", {variant: book.total(variant) for variant in study.names}, ended
        )
        for round_ in book.rounds():
            asked = book.ask(round_, chosen)
            if asked:
                run = _Round(study, settings, book, progress, asked)
                executor.run(list(run.jobs), run)
        write_facts(study, book, settings.folder, settings.command)
        finals = _final_jobs(study, settings, book)
        progress.on_total(
            "finals",
            dict.fromkeys(study.names, 1),
            dict.fromkeys(study.names, 1) | {job.group: 0 for job in finals},
        )
        last = _Finals(progress)
        if finals:
            executor.run(finals, last)
        before = begun_with(settings.folder).get("finals_before", [])
        facts = write_facts(study, book, settings.folder, settings.command, last.failures, before)
        hparams.write_study(settings.folder, facts)
        return facts


def _job(
    study: Study,
    settings: Settings,
    kind: Literal["trials", "finals"],
    variant: str,
    key: str,
    point: dict[str, Any],
) -> TrialJob:
    seeds = study.trial_seeds if kind == "trials" else study.final_seeds
    return TrialJob(
        key=key,
        group=variant,
        runs_dir=str(settings.folder / (layout.TRIALS if kind == "trials" else layout.FINALS)),
        recipe_name=study.base_of(variant),
        recipes=[recipes.to_tables(study.recipe_of(variant, point, seed)) for seed in seeds],
        open_test=kind == "finals",
        keep=study.keep,
        data_dir=str(settings.data_dir) if settings.data_dir else None,
        trust=settings.trust,
        asks=kind == "trials" and study.design.pruner != "none",
    )


@dataclass
class _Round(Listener):
    """Records the outcomes of trials, and ends those that the pruner rejects."""

    study: Study
    settings: Settings
    book: Trials
    progress: StudyProgress
    asked: Sequence[Trial]
    jobs: list[TrialJob] = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = [
            _job(self.study, self.settings, "trials", trial.variant, trial.key, trial.point)
            for trial in self.asked
        ]
        self.trials = {trial.key: trial for trial in self.asked}
        self.pruned: set[str] = set()

    def on_begin(self, job: TrialJob) -> None:
        self.progress.on_begin(job.group)

    def on_row(self, job: TrialJob, row: Row) -> bool:
        handle, value = self.trials[job.key].handle, row.get(f"val_{self.study.metric}")
        if not job.asks or value is None:
            return True
        with warnings.catch_warnings():
            # A resumed trial reports its first epochs a second time, which Optuna ignores.
            warnings.simplefilter("ignore", UserWarning)
            handle.report(value, int(row["epoch"]))
        last = int(row["epoch"]) == job.recipes[0]["training"]["epochs"]
        if not last and handle.should_prune():
            self.pruned.add(job.key)
        return job.key not in self.pruned

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        trial = self.trials[job.key]
        records = run_records(Path(job.runs_dir), job.names)
        what, value = result_of(self.study, records, len(job.names))
        reason = outcome.reason
        if job.key in self.pruned:
            what, value, reason = "pruned", None, "fell behind the others"
        elif what == "diverged":
            reason = next(record.reason for record in records if record.status == "diverged")
        self.book.tell(trial, value, what, reason, outcome.attempts)
        self.progress.on_end(trial.variant, what, value)


@dataclass
class _Finals(Listener):
    """Records which variants' final runs failed."""

    progress: StudyProgress
    failures: dict[str, str] = field(default_factory=dict)

    def on_begin(self, job: TrialJob) -> None:
        self.progress.on_begin(job.group)

    def on_row(self, job: TrialJob, row: Row) -> bool:
        return True

    def on_end(self, job: TrialJob, outcome: Outcome) -> None:
        if outcome.reason is not None:
            self.failures[job.group] = outcome.reason
        self.progress.on_end(job.group, "failed" if outcome.reason else "finished", None)


def _with_finals(settings: Settings) -> set[str]:
    """Return the variants of which final runs have ended: their best trial is settled."""
    folders = store.folders(settings.folder / layout.FINALS)
    records = run_records(settings.folder / layout.FINALS, [path.name for path in folders])
    return {record.group or "" for record in records if record.status in ENDED}


def _final_jobs(study: Study, settings: Settings, book: Trials) -> list[TrialJob]:
    """Return the final runs of the best of each variant, on seeds that no trial has used."""
    jobs = []
    for variant in study.names if study.final_seeds else ():
        best = best_trial(study, book, variant)
        if best is None:
            continue
        point = decoded(study.spaces(variant), best.params)
        job = _job(study, settings, "finals", variant, variant, point)
        ended = run_records(Path(job.runs_dir), job.names)
        if sum(record.status in ENDED for record in ended) < len(job.names):
            jobs.append(job)
    return jobs
