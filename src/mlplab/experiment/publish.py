"""The final form of a record, and the page that shows it."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from mlplab import files
from mlplab.errors import optional
from mlplab.recipes.recipe import Recipe
from mlplab.report.findings import findings
from mlplab.report.page import write_run_page
from mlplab.runs import layout, store
from mlplab.runs.record import Finding, Record


def publish(
    folder: Path, record: Record, recipe: Recipe, note: Callable[[str], None], page: bool
) -> None:
    """Write findings, record and, if wanted, the report of a run that has just ended.

    Findings or a report that fail are a note: the record is written in any case.
    """
    with optional(f"the findings of {record.name}", note):
        record.findings = _findings(folder, record, recipe)
    _record(folder, record, None)
    if page:
        with optional(f"the report of {record.name}", note):
            write_run_page(folder)
        _record(folder, record, None)


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
    record.findings = _findings(folder, record, recipe)
    _record(folder, record, written)  # the report shows the other files' hashes
    path = write_run_page(folder, problems)
    _record(folder, record, written)
    return path


def _findings(folder: Path, record: Record, recipe: Recipe) -> list[Finding]:
    return findings(record, files.read_lines(folder / layout.METRICS), recipe)


def _record(folder: Path, record: Record, written: Collection[str] | None) -> None:
    """Write the record with the hashes of the files as they are now."""
    record.files = _hashes(folder, record, written)
    store.write_record(folder, record)


def _hashes(folder: Path, record: Record, written: Collection[str] | None) -> dict[str, str]:
    found = store.hashes(folder)
    if written is None or not record.files:  # a run that was killed has no recorded hashes
        return found
    updated = {name: found[name] for name in (layout.REPORT, *written) if name in found}
    return record.files | updated
