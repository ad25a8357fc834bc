"""The ledger of a runs folder: how often each test split was evaluated on, and by which runs."""

from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlplab import files
from mlplab.errors import StorageError
from mlplab.runs import layout, store
from mlplab.runs.record import Record


def ledger_dir(runs_dir: Path) -> Path:
    """Return the folder that has the ledger; runs of a study use that of its runs folder."""
    return runs_dir.parents[1] if store.is_study(runs_dir.parent) else runs_dir


def open_test(runs_dir: Path, record: Record, openings: int = 1) -> dict[str, int]:
    """Record evaluations on the test split in the runs folder's ledger and return its counts."""
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
    """Return how often a test split was evaluated on, and by how many configurations."""
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
    return number if isinstance(number, int) and number > 0 else 1  # a line is at least one
