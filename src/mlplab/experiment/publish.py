"""The final form of a record, and the page that shows it."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mlplab import files
from mlplab.recipes.recipe import Recipe
from mlplab.report.findings import findings
from mlplab.report.page import write_run_page
from mlplab.runs import layout, store
from mlplab.runs.record import Record


def publish(folder: Path, record: Record, recipe: Recipe, page: bool = True) -> None:
    """Write findings, record and, if wanted, the report of a run that has just ended."""
    _publish(folder, record, recipe, None, page)


def publish_again(
    folder: Path,
    record: Record,
    recipe: Recipe,
    written: Collection[str] = (),
    problems: Sequence[str] = (),
) -> Path:
    """Write findings, record and report of an earlier run again, and return the report's path.

    For a run that is still running, only the report is written.

    Args:
        folder: of the run.
        record: the new record, based on :func:`mlplab.runs.store.read_own_record`.
        recipe: of the run.
        written: the files that have just been written. The others keep their recorded hashes, so
            that damage since then is still found.
        problems: files that are known not to be as recorded, for the page.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    if record.status == "running":
        return write_run_page(folder)  # the record is the training's to write
    return _publish(folder, record, recipe, written, problems=problems)


def _publish(
    folder: Path,
    record: Record,
    recipe: Recipe,
    written: Collection[str] | None,
    page: bool = True,
    problems: Sequence[str] = (),
) -> Path:
    """Write the record twice: the report shows the other files' hashes, the record also its own."""
    rows = files.read_lines(folder / layout.METRICS)
    record.findings = findings(record, rows, recipe)
    record.files = _hashes(folder, record, written)
    store.write_record(folder, record)
    path = folder / layout.REPORT
    if page:
        write_run_page(folder, problems)
        record.files = _hashes(folder, record, written)
        store.write_record(folder, record)
    return path


def _hashes(folder: Path, record: Record, written: Collection[str] | None) -> dict[str, str]:
    found = store.hashes(folder)
    if written is None or not record.files:  # a run that was killed has no recorded hashes
        return found
    updated = {name: found[name] for name in (layout.REPORT, *written) if name in found}
    return record.files | updated
