"""A record in its last form, and the page that shows it."""

from pathlib import Path

from mlplab import files
from mlplab.config import Recipe
from mlplab.report.findings import findings
from mlplab.report.page import write_run_page
from mlplab.runs import store
from mlplab.runs.record import Record


def publish(folder: Path, record: Record, recipe: Recipe) -> Path:
    """Write findings, record and report of a run anew, and return the report's path.

    The record is written twice: the report shows the hashes of the other files, and the record has
    the report's own as well. Of a run that is still running only the report is written.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    if record.status == "running":
        return write_run_page(folder)  # the record is the training's to write
    rows = files.read_lines(folder / "metrics.jsonl")
    record.findings = findings(record.to_json(), rows, recipe.model_dump())
    record.files = store.hashes(folder)
    store.write_record(folder, record)
    path = write_run_page(folder)
    record.files = store.hashes(folder)
    store.write_record(folder, record)
    return path
