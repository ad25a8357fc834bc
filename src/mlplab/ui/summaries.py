"""All runs of a folder in short, read again only where they have changed."""

import json
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mlplab import files
from mlplab.recipes import RENAMED
from mlplab.runs import layout, lock, store
from mlplab.runs.record import data_title

SPLITS = ("train", "validation", "test")
METRICS = ("accuracy", "accuracy_low", "accuracy_high", "loss", "n")


class Summary(BaseModel):
    """What a list shows of a run; ``None`` is what its record does not have."""

    name: str
    status: str
    reason: str | None = None
    recipe: str | None = None
    data: str | None = None
    group: str | None = None
    command: str | None = None
    config_id: str | None = None
    seed: int | None = None
    parameters: int | None = None
    flops_per_example: float | None = None
    image_shape: list[int] | None = None
    images: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    selected_on: str | None = None
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    epoch_seconds: float | None = None
    metrics: dict[str, dict[str, float | None]] = {}


class Summaries:
    """The runs of a folder, for a list of thousands.

    Args:
        runs_dir: the folder.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._turn = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """Return a summary of each run, the latest first."""
        with self._turn:  # requests come from several threads
            summaries = [self.of(folder) for folder in store.folders(self.runs_dir)]
            found = [summary for summary in summaries if summary is not None]
            known = {summary["name"] for summary in found}
            self._known = {name: value for name, value in self._known.items() if name in known}
        return sorted(found, key=lambda summary: summary["started"] or "", reverse=True)

    def of(self, folder: Path) -> dict[str, Any] | None:
        """Return the summary of a run; ``None`` if it is no longer there.

        One whose record is damaged has the status ``damaged``, so that it can be found.
        """
        try:
            facts = (folder / layout.RECORD).stat()
            stamp = facts.st_mtime_ns, facts.st_size
            before = self._known.get(folder.name)
            if before is None or before[0] != stamp:
                before = stamp, _read(folder)
                self._known[folder.name] = before
        except OSError:
            return None
        summary = before[1]
        if summary["status"] == "running" and not lock.is_written(folder):
            return summary | {"status": "interrupted", "reason": store.KILLED}
        return summary


def _read(folder: Path) -> dict[str, Any]:
    try:
        # Validating all facts of each of thousands of records would take most of a minute.
        tables = json.loads(files.text(folder / layout.RECORD, store.LARGEST_RECORD))
        return _summary(folder.name, tables).model_dump()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = f"{layout.RECORD} is damaged"
        return Summary(name=folder.name, status="damaged", reason=reason).model_dump()


def _summary(name: str, tables: dict[str, Any]) -> Summary:
    metrics, seconds = tables.get("metrics", {}), tables.get("seconds", {})
    recipe = str(tables["recipe"])
    facts = {key: value for key, value in tables.items() if key in Summary.model_fields}
    own = {
        "name": name,
        "recipe": RENAMED.get(recipe, recipe),
        "data": data_title(str(tables.get("data", "")), str(tables.get("data_path", ""))),
        "seconds": seconds.get("total"),
        "epoch_seconds": seconds.get("epoch_median"),
        "images": (tables.get("images") or {}).get("count"),
        "metrics": {
            split: {key: metrics[split].get(key) for key in METRICS}
            for split in SPLITS
            if split in metrics
        },
    }
    return Summary(**facts | own)
