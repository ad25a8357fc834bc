"""The outcome of a study's trials, in the form of ``study.json``."""

import json
import statistics as numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mlplab import files
from mlplab.errors import RunError
from mlplab.experiment import environment
from mlplab.runs import layout, store
from mlplab.runs.record import Record
from mlplab.study.design import Study
from mlplab.study.trials import Trials, decoded


def run_records(runs_dir: Path, names: Sequence[str]) -> list[Record]:
    """Return the records of runs, as far as they exist and can be read."""
    found = []
    for name in names:
        try:
            found.append(store.read_record(runs_dir / name))
        except RunError:
            continue
    return found


def result_of(study: Study, records: Sequence[Record], runs: int) -> tuple[str, float | None]:
    """Return a trial's outcome, and its value: the mean of the metric over its runs."""
    if any(record.status == "diverged" for record in records):
        return "diverged", None
    values = [
        record.metrics.get("validation", {}).get(study.metric)
        for record in records
        if record.status == "finished"
    ]
    known = [value for value in values if value is not None]
    if len(known) < runs:
        return "failed", None
    return "finished", numbers.fmean(known)


def best_trial(study: Study, book: Trials, variant: str) -> FrozenTrial | None:
    """Return Optuna's frozen trial with the best value, the first of equals, or ``None``."""
    sign = -1.0 if study.maximise else 1.0
    done = [
        (sign * trial.value, trial.number, trial)
        for trial in book.all(variant)
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    return min(done)[2] if done else None


def write_facts(
    study: Study,
    book: Trials,
    folder: Path,
    command: str,
    failures: dict[str, str] | None = None,
    finals_before: Sequence[int] = (),
) -> dict[str, Any]:
    """Write ``study.json``, for reports and outside programs, and return its content.

    Its status is ``incomplete`` if a variant has no finished trial, or if its final runs failed.

    Args:
        study: the study.
        book: its trials.
        folder: of the study.
        command: command line that repeats it.
        failures: why the final runs of variants failed; ``None`` if they have not run yet.
        finals_before: how many final runs a variant had when more were added.
    """
    variants = {}
    for variant in study.names:
        best = best_trial(study, book, variant)
        variants[variant] = {
            "trials": [_trial_facts(study, variant, trial) for trial in book.all(variant)],
            "total": book.total(variant),
            "best": best.number if best else None,
            "importances": book.importances(variant),
        }
    lacking = failures or any(found["best"] is None for found in variants.values())
    facts = {
        "schema": 1,
        "name": folder.name,
        "command": command,
        "status": "running" if failures is None else "incomplete" if lacking else "finished",
        "study": study.model_dump(exclude_none=True),
        "variants": variants,
        "final_failures": failures or {},
        "finals_before": list(finals_before),
        "device": environment.device(),
        "versions": environment.versions(),
        "written": environment.now(),
    }
    files.write_text(folder / layout.STUDY_FACTS, json.dumps(facts, indent=1) + "\n")
    return facts


def _trial_facts(study: Study, variant: str, trial: FrozenTrial) -> dict[str, Any]:
    asked = {key: trial.params[key] for key in study.spaces(variant) if key in trial.params}
    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "point": decoded(study.spaces(variant), asked) if asked else {},
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "outcome": attrs.get("outcome") if trial.state.is_finished() else "running",
        "reason": attrs.get("reason"),
        "attempts": attrs.get("attempts", 0),
        "runs": [f"{variant}-t{trial.number:02d}-s{seed}" for seed in study.trial_seeds],
    }
