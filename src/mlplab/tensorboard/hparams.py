"""What TensorBoard's HParams page shows: a row for each run, with settings and results."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from mlplab import files
from mlplab.errors import RunError
from mlplab.figures import confusion_matrix
from mlplab.report.formatting import is_number
from mlplab.report.history import epoch_of
from mlplab.runs import layout, store
from mlplab.statistics.metrics import METRICS
from mlplab.tensorboard.events import Events

RESULTS = [metric.name for metric in METRICS]  # columns of the HParams page

# The HParams page hides a run whose value has another type than the first one found. Settings that
# may be a word or a number are therefore always text, and absent ones are left out.
WORDS = ("data.validation", "model.normalisation", "model.trainable")
WORD_PARAMETERS = ("save_freq",)
"""The same for parameters of callbacks, whose tables have names of the user's choice."""

NO_SETTINGS = ("seed", "evaluation.splits")
"""Keys in which runs of one configuration may differ."""


def write_results(
    folder: Path,
    *,
    recipe: Mapping[str, Any],
    config_id: str,
    metrics: Mapping[str, Mapping[str, Any]],
    confusion: NDArray[np.integer] | None,
    class_names: Sequence[str],
    mistakes: Figure | None,
    selected_on: str = "validation",
    succeeded: bool = True,
) -> None:
    """Write the results into ``results`` when training has ended.

    The HParams page gets every setting of the training except its seed, and only the validation
    metrics: runs are ranked by validation. It puts runs with the same ``config_id`` in one row and
    averages them. No description of the experiment is written: the page would use that of one run,
    and hide settings that only others have; without it, it collects them from all.

    Args:
        folder: ``<run>/tensorboard``.
        recipe: nested tables.
        config_id: identity of the recipe without its seed.
        metrics: by split; only ``validation`` is read.
        confusion: int [classes, classes], indexed [true, predicted].
        class_names: one name per class.
        mistakes: the picture of the worst mistakes.
        selected_on: ``test`` for a run whose validation was the test split: its metrics get a
            separate column, so that they are not ranked among honest ones.
        succeeded: whether training completed.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    settings = {name: value for name, value in hyperparameters(recipe) if name not in NO_SETTINGS}
    values = metrics.get("validation", {})
    column = "validation" if selected_on == "validation" else f"selected_on_{selected_on}"
    numbers = {f"{column}/{name}": values.get(name) for name in RESULTS}
    numbers |= {f"{column}/tta_{name}": values.get("tta", {}).get(name) for name in RESULTS}
    with session(folder / "results", settings, config_id, succeeded) as file:
        file.add_scalars({tag: value for tag, value in numbers.items() if value is not None})
        if confusion is not None:
            file.add_figure("results/confusion_matrix", confusion_matrix(confusion, class_names))
        if mistakes is not None:
            file.add_figure("results/confident_mistakes", mistakes)


@contextmanager
def session(
    folder: Path, settings: Mapping[str, bool | float | str], group: str, succeeded: bool
) -> Iterator[Events]:
    """Yield an event file that is a row of the HParams page.

    Args:
        folder: in which the file is created.
        settings: the row's columns.
        group: rows of one group are merged, and their metrics averaged.
        succeeded: whether training completed.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    file = Events(folder)
    file.add(hparams_pb(dict(settings), trial_id=group))
    try:
        yield file
        file.add(_session_end(STATUS_SUCCESS if succeeded else STATUS_FAILURE))
    finally:
        file.close()


def hyperparameters(
    tables: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, bool | float | str]]:
    """Yield the settings of a recipe as ``table.key`` and a value whose type never varies."""
    for key, value in tables.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from hyperparameters(value, f"{name}.")
        elif name in WORDS or key in WORD_PARAMETERS:
            yield name, str(value)
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
        elif value not in (None, "none"):
            yield name, value


def _session_end(status: int) -> summary_pb2.Summary:
    # TensorBoard's own function for this imports TensorFlow. Without it the status is unknown.
    end = SessionEndInfo(status=status, end_time_secs=time.time())
    data = metadata.create_summary_metadata(HParamsPluginData(session_end_info=end))
    value = summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=data, tensor=metadata.NULL_TENSOR
    )
    return summary_pb2.Summary(value=[value])


def write_study(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the events of all runs of a study again.

    Args:
        folder: of the study.
        facts: ``study.json``.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    shutil.rmtree(folder / layout.EVENTS, ignore_errors=True)
    for variant, found in facts["variants"].items():
        for trial in found["trials"]:
            group = f"{facts['name']}/{variant}-t{trial['number']:02d}"
            for run in trial["runs"]:
                _run(folder, layout.TRIALS, run, variant, trial["point"], group)
        best = next((t for t in found["trials"] if t["number"] == found["best"]), None)
        if best is None:
            continue
        for path in store.folders(folder / layout.FINALS):
            if store.read_record(path).group == variant:
                group = f"{facts['name']}/{variant}-final"
                _run(folder, layout.FINALS, path.name, variant, best["point"], group)


def _run(
    folder: Path, kind: str, run: str, variant: str, point: Mapping[str, Any], group: str
) -> None:
    try:
        record = store.read_record(folder / kind / run)
    except RunError:
        return  # it failed before it had one
    settings = {"variant": variant, "kind": kind} | dict(hyperparameters(point))
    values = record.metrics.get("validation", {})
    finished = record.status == "finished"
    with session(folder / layout.EVENTS / f"{kind}-{run}", settings, group, finished) as file:
        found = {f"validation/{name}": values.get(name) for name in RESULTS}
        file.add_scalars({tag: value for tag, value in found.items() if value is not None})
        for row in files.read_lines(folder / kind / run / layout.METRICS):
            curves = {f"epoch_{key}": row.get(key) for key in ("val_accuracy", "val_loss", "loss")}
            epoch = epoch_of(row)
            if epoch is not None:
                file.add_scalars({k: v for k, v in curves.items() if is_number(v)}, epoch - 1)
