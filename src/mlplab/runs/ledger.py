"""The ledger of a runs folder: how often each test split was evaluated on, and by which runs."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlplab import files
from mlplab.errors import StorageError
from mlplab.runs import layout, store
from mlplab.runs.record import Record


def ledger_dir(runs_dir: Path) -> Path:
    """Return the folder that has the ledger; runs of a study use that of its runs folder."""
    # A study file of the user's may lie beside a runs folder, and be called study.toml as well.
    of_study = runs_dir.name in (layout.TRIALS, layout.FINALS) and store.is_study(runs_dir.parent)
    return runs_dir.parents[1] if of_study else runs_dir


def open_test(runs_dir: Path, record: Record, openings: int = 1) -> dict[str, int]:
    """Record evaluations on the test split in the runs folder's ledger and return its counts."""
    place = ledger_dir(runs_dir.absolute())
    path = place / layout.LEDGER
    try:
        with files.storage(str(path)), FileLock(place / layout.LEDGER_LOCK, timeout=30):
            row = {
                "data_id": record.data_id,
                "source_id": record.source_id,
                "config_id": record.config_id,
                "run": record.name,
                "openings": openings,
            }
            files.append_line(path, row)
    except Timeout:
        raise StorageError(f"the ledger {path} is locked by another program") from None
    return count(runs_dir, record.data_ids)


def count(runs_dir: Path, data_ids: Collection[str]) -> dict[str, int]:
    """Return how often a test split was evaluated on, and by how many configurations.

    Args:
        runs_dir: folder of the runs.
        data_ids: of the data set, from a record.
    """
    rows = files.read_lines(ledger_dir(runs_dir.absolute()) / layout.LEDGER)
    known = set(data_ids)
    # Images of two sizes have one source_id and two data_ids; older lines only have a data_id.
    known = known.union(*(_ids(row) for row in rows if known & _ids(row)))
    rows = [row for row in rows if known & _ids(row)]
    return {
        "openings": sum(_openings(row) for row in rows),
        "configurations": len({str(row.get("config_id")) for row in rows}),
    }


def _ids(row: dict[str, Any]) -> set[str]:
    return {str(row[key]) for key in ("data_id", "source_id") if row.get(key)}


def _openings(row: dict[str, Any]) -> int:
    number = row.get("openings")
    return number if isinstance(number, int) and number > 0 else 1  # a line is at least one
