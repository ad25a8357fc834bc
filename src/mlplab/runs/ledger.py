"""The ledger of a runs folder: how often each data set's test split was opened, and for what."""

from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlplab import files
from mlplab.errors import StorageError
from mlplab.runs import layout, store
from mlplab.runs.record import Record


def ledger_dir(runs_dir: Path) -> Path:
    """Return the runs folder that a study's runs belong to: there lies their ledger."""
    return runs_dir.parents[1] if store.is_study(runs_dir.parent) else runs_dir


def open_test(runs_dir: Path, record: Record, openings: int = 1) -> dict[str, int]:
    """Enter openings of the test split in the ledger of the runs folder and return its count."""
    place = ledger_dir(runs_dir.absolute())
    path = place / layout.LEDGER
    try:
        with files.storage(str(path)), FileLock(place / layout.LEDGER_LOCK, timeout=30):
            row = {
                "data_id": record.data_id,
                "config_id": record.config_id,
                "run": record.name,
                "openings": openings,
            }
            files.append_line(path, row)
    except Timeout:
        raise StorageError(f"the ledger {path} is locked by another program") from None
    return count(runs_dir, record.data_id)


def count(runs_dir: Path, data_id: str) -> dict[str, int]:
    """Return how often a data set's test split was opened, and by how many configurations."""
    rows = [
        row
        for row in files.read_lines(ledger_dir(runs_dir.absolute()) / layout.LEDGER)
        if row.get("data_id") == data_id
    ]
    return {
        "openings": sum(_openings(row) for row in rows),
        "configurations": len({str(row.get("config_id")) for row in rows}),
    }


def _openings(row: dict[str, Any]) -> int:
    number = row.get("openings")
    return number if isinstance(number, int) and number > 0 else 1  # a line is a look
