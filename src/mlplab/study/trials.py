"""The trials of a study in an Optuna storage: those asked for, their results, and what is left."""

import copy
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mlplab.errors import StorageError
from mlplab.study.design import Study
from mlplab.study.sampling import Point, points
from mlplab.study.search_space import Range, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)

PRUNERS = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "successive-halving": optuna.pruners.SuccessiveHalvingPruner,
}

REPEATS = "repeats"
"""Attribute of a trial in Optuna: the number of the failed one that it replaces."""


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Turn the database's errors into a :class:`StorageError`."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        line = str(error.__cause__ or error).partition("\n")[0]
        raise StorageError(
            f"{path} cannot be used: {line}. Free some space, or give the study another --name"
        ) from None


@dataclass
class Trial:
    """A trial to run.

    Attributes:
        variant: that it belongs to.
        number: from 0, within its variant.
        point: of the variant's spaces.
        handle: Optuna's.
    """

    variant: str
    number: int
    point: Point
    handle: optuna.Trial = field(repr=False)

    @property
    def key(self) -> str:
        """The name of its runs without the seed."""
        return f"{self.variant}-t{self.number:02d}"


class Trials:
    """All trials of a study.

    The storage lists the trials that were asked for and their outcomes; run folders contain the
    results themselves. A trial without an outcome, because the study was killed, is run again.

    Args:
        study: the study.
        path: of the SQLite file, which other programs for Optuna can open as well.
    """

    def __init__(self, study: Study, path: Path) -> None:
        self.study = study
        self.path = path
        self._points = {variant: points(study, variant) for variant in study.names}
        with _storage(path):
            self.storage = optuna.storages.RDBStorage(
                f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
            )
            self._variants = {variant: self._open(variant) for variant in study.names}

    def _open(self, variant: str) -> optuna.Study:
        return optuna.create_study(
            study_name=variant,
            storage=self.storage,
            load_if_exists=True,
            direction="maximize" if self.study.maximise else "minimize",
            pruner=PRUNERS[self.study.design.pruner](),
        )

    def total(self, variant: str) -> int:
        """Return how many trials a variant will have when the study has ended."""
        design = self.study.design
        if design.kind == "bayesian" and self.study.spaces(variant):
            return design.trials
        return len(self._points[variant])

    def rounds(self) -> list[range]:
        """Return the trials' numbers by round; those of one round may run at the same time."""
        most = max(map(self.total, self._variants))
        step = self.study.design.batch if self.study.design.kind == "bayesian" else most
        return [range(start, min(start + step, most)) for start in range(0, most, step)]

    def ask(self, numbers: range, chosen: Collection[str] = ()) -> list[Trial]:
        """Return the trials of these numbers, of every variant, that have no result yet.

        Those that failed are among them, for their cause may be gone.

        Args:
            numbers: of the trials.
            chosen: variants whose best trial is settled, so that failed ones stay as they are.
        """
        found = []
        for variant in self._variants:
            known = self.all(variant)
            for number in range(numbers.start, min(numbers.stop, self.total(variant))):
                trial = self._ask(variant, number, known, repeats=variant not in chosen)
                if trial is not None:
                    found.append(trial)
        # One of each variant in turn, so that all variants progress together.
        return sorted(found, key=lambda trial: trial.number)

    def _ask(
        self, variant: str, number: int, known: Sequence[FrozenTrial], repeats: bool
    ) -> Trial | None:
        study, spaces = self._variants[variant], self.study.spaces(variant)
        if number < len(known) and known[number].state != TrialState.WAITING:
            if repeats and has_failed(known[number]):
                handle = self._again(study, number, known[number])
            elif known[number].state.is_finished():
                return None
            else:
                handle = optuna.Trial(study, known[number]._trial_id)
        else:
            if number >= len(known) and self.study.design.kind != "bayesian":
                fixed = self._points[variant][number]
                study.enqueue_trial({key: _encoded(spaces[key], fixed[key]) for key in fixed})
            # Only from the search and the number: the same at every call, and for all variants, so
            # that those that search the same space start at the same points.
            seed = [self.study.design.seed, number]
            study.sampler = optuna.samplers.TPESampler(
                seed=zlib.crc32(json.dumps(seed).encode()), constant_liar=True
            )
            handle = study.ask()
        # One by one, each stored separately: a kill may have left some out.
        params = {key: _suggested(handle, key, space) for key, space in spaces.items()}
        return Trial(variant, number, decoded(spaces, params), handle)

    def _again(self, study: optuna.Study, number: int, failed: FrozenTrial) -> optuna.Trial:
        """Return a new trial in place of a failed one: what has ended, Optuna does not reopen."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=failed.params,
            distributions=failed.distributions,
            user_attrs={REPEATS: number},
        )
        with _storage(self.path):
            trial_id = self.storage.create_new_trial(study._study_id, template)
        return optuna.Trial(study, trial_id)

    def tell(
        self, trial: Trial, value: float | None, outcome: str, reason: str | None, attempts: int
    ) -> None:
        """Store a result.

        Args:
            trial: the trial.
            value: of the metric, ``None`` if there is none.
            outcome: ``finished``, ``pruned``, ``diverged`` or ``failed``.
            reason: why it has not finished.
            attempts: how often it was started.
        """
        facts = {"outcome": outcome, "reason": reason, "attempts": attempts}
        with _storage(self.path):
            self._tell(trial, value, outcome, facts)

    def _tell(
        self, trial: Trial, value: float | None, outcome: str, facts: Mapping[str, Any]
    ) -> None:
        for key, fact in facts.items():
            trial.handle.set_user_attr(key, fact)
        state = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
            outcome, TrialState.FAIL
        )
        values = value if state == TrialState.COMPLETE else None
        self._variants[trial.variant].tell(trial.handle, values, state=state, skip_if_finished=True)

    def all(self, variant: str) -> list[FrozenTrial]:
        """Return the trials of a variant that were asked for, in the order of their numbers.

        Of one that failed and was repeated, the last is returned, under the number of the first.
        """
        study_id = self.storage.get_study_id_from_name(variant)
        found: list[FrozenTrial] = []
        for trial in self.storage.get_all_trials(study_id, deepcopy=False):
            number = trial.user_attrs.get(REPEATS, len(found))
            numbered = copy.copy(trial)
            numbered.number = number
            found[number : number + 1] = [numbered]
        return found

    def importances(self, variant: str) -> dict[str, float]:
        """Return the share of the metric's variance that each key explains (Hutter et al. 2014).

        Empty if fewer than 8 trials have finished, which are too few for a forest.
        """
        done = [t for t in self.all(variant) if t.state == TrialState.COMPLETE]
        different = len({trial.value for trial in done}) > 1
        if len(done) < 8 or not different or not self.study.spaces(variant):
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            found = optuna.importance.get_param_importances(
                self._variants[variant], evaluator=evaluator
            )
        except (RuntimeError, ValueError):  # trees that found no difference
            return {}
        return {key: float(value) for key, value in found.items()}


def has_failed(trial: FrozenTrial) -> bool:
    """Return whether a trial ended with an error; one that diverged has a result."""
    return trial.user_attrs.get("outcome") == "failed"


def _suggested(handle: optuna.Trial, key: str, space: Space) -> Any:
    if not isinstance(space, Range):
        return handle.suggest_categorical(key, [_encoded(space, value) for value in space.choices])
    if space.whole:
        return handle.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return handle.suggest_float(key, float(space.low), float(space.high), log=space.log)


def _encoded(space: Space, value: Any) -> Any:
    """Return a value in a form that Optuna can store: lists become JSON."""
    if isinstance(space, Range) or value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value)


def decoded(spaces: Mapping[str, Space], params: Mapping[str, Any]) -> Point:
    """Return a point from Optuna's parameters, in the order of the spaces."""
    point: Point = {}
    for key, space in spaces.items():
        if key not in params:
            continue
        value = params[key]
        if not isinstance(space, Range):
            value = next(choice for choice in space.choices if _encoded(space, choice) == value)
        elif not space.whole:
            value = float(f"{value:.4g}")
        point[key] = value
    return point
