"""A study for TensorBoard: its HParams page has a row for each trial, replicates put together."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlplab import files
from mlplab.errors import RunError
from mlplab.report.history import epoch_of
from mlplab.report.words import is_number
from mlplab.runs import store
from mlplab.training.tensorboard import RESULTS, hyperparameters, session

FOLDER = "tensorboard"


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the events of all runs of a study anew.

    Args:
        folder: of the study.
        facts: ``study.json``.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for level, found in facts["levels"].items():
        for trial in found["trials"]:
            group = f"{facts['name']}/{level}-t{trial['number']:02d}"
            for run in trial["runs"]:
                _run(folder, "trials", run, level, trial["point"], group)
        best = next((t for t in found["trials"] if t["number"] == found["best"]), None)
        if best is None:
            continue
        for path in store.folders(folder / "finals"):
            if store.read_record(path).group == level:
                group = f"{facts['name']}/{level}-final"
                _run(folder, "finals", path.name, level, best["point"], group)


def _run(
    folder: Path, kind: str, run: str, level: str, point: Mapping[str, Any], group: str
) -> None:
    try:
        record = store.read_record(folder / kind / run)
    except RunError:
        return  # it failed before it had one
    settings = {"level": level, "kind": kind} | dict(hyperparameters(point))
    values = record.metrics.get("validation", {})
    finished = record.status == "finished"
    with session(folder / FOLDER / f"{kind}-{run}", settings, group, finished) as file:
        found = {f"validation/{name}": values.get(name) for name in RESULTS}
        file.add_scalars({tag: value for tag, value in found.items() if value is not None})
        for row in files.read_lines(folder / kind / run / "metrics.jsonl"):
            curves = {f"epoch_{key}": row.get(key) for key in ("val_accuracy", "val_loss", "loss")}
            epoch = epoch_of(row)
            if epoch is not None:
                file.add_scalars({k: v for k, v in curves.items() if is_number(v)}, epoch - 1)
