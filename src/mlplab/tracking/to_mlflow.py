"""Runs at MLflow, wherever ``MLFLOW_TRACKING_URI`` says."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mlplab.tracking.trackers import Facts

STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}
"""MLflow's word for the end of a run; ``FAILED`` for any other."""
QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
AT_ONCE = 100  # parameters that MLflow takes in one request
LONGEST = 6_000  # characters of a parameter


class Run:
    """A run at MLflow; see ``Tracker``. It does not touch MLflow's own active run.

    Args:
        client: of the server.
        id: of the run.
    """

    def __init__(self, client: MlflowClient, id: str) -> None:
        self.client, self.id = client, id

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Add the metrics of an epoch."""
        now = int(1000 * time.time())
        metrics = [Metric(key, value, now, step) for key, value in row.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def end(self, metrics: Mapping[str, float], step: int, status: str) -> None:
        """Add the final metrics and the status."""
        self.log(metrics, step)
        self.client.set_tag(self.id, "status", status)
        with _quiet():
            self.client.set_terminated(self.id, STATUS.get(status, "FAILED"))


def begin(facts: Facts, known: str | None) -> Run:
    """Start a run at MLflow, or continue one; see ``trackers.begin``."""
    client = MlflowClient()
    if known is not None:
        client.update_run(known, status="RUNNING")
        return Run(client, known)
    tags = {"config_id": facts.config_id, "seed": str(facts.seed)}
    experiment = _experiment(client, facts.project)
    run = Run(client, client.create_run(experiment, run_name=facts.name).info.run_id)
    params = [Param(key, str(value)[:LONGEST]) for key, value in facts.settings.items()]
    first, *others = _parts(params)
    client.log_batch(run.id, params=first, tags=[RunTag(*tag) for tag in tags.items()])
    for part in others:
        client.log_batch(run.id, params=part)
    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Let MLflow print no address until the block ends: standard output is for results."""
    before = os.environ.get(QUIET)
    os.environ[QUIET] = "true"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(QUIET, None)
        else:
            os.environ[QUIET] = before


def _experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which another run may be creating at this moment."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _parts(params: Sequence[Param]) -> list[list[Param]]:
    starts = range(0, max(len(params), 1), AT_ONCE)
    return [list(params[start : start + AT_ONCE]) for start in starts]
