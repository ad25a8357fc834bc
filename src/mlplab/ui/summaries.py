"""All runs of a folder in short, read again only where they have changed."""

import json
import threading
from pathlib import Path
from typing import Any

from mlplab import files
from mlplab.recipes import RENAMED
from mlplab.runs import layout, lock, store
from mlplab.runs.record import data_title

FACTS = (
    *("group", "status", "reason", "command", "config_id", "seed", "parameters", "epochs"),
    *("best_epoch", "selected_on", "started", "ended", "image_shape", "flops_per_example"),
)
SPLITS = ("train", "validation", "test")
METRICS = ("accuracy", "accuracy_low", "accuracy_high", "loss", "n")


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
        """Return the summary of a run; ``None`` if its record cannot be read."""
        try:
            facts = (folder / layout.RECORD).stat()
            stamp = facts.st_mtime_ns, facts.st_size
            before = self._known.get(folder.name)
            if before is None or before[0] != stamp:
                # Validating each of thousands of records would take most of a minute.
                tables = json.loads(files.text(folder / layout.RECORD, store.LARGEST_RECORD))
                before = stamp, _summary(folder.name, tables)
                self._known[folder.name] = before
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        summary = before[1]
        if summary["status"] == "running" and not lock.is_written(folder):
            return summary | {"status": "interrupted", "reason": store.KILLED}
        return summary


def _summary(name: str, tables: dict[str, Any]) -> dict[str, Any]:
    metrics = tables.get("metrics", {})
    title = data_title(str(tables.get("data", "")), str(tables.get("data_path", "")))
    recipe = str(tables["recipe"])
    return {
        "name": name,
        "recipe": RENAMED.get(recipe, recipe),
        "data": title,
        "seconds": tables.get("seconds", {}).get("total"),
        "epoch_seconds": tables.get("seconds", {}).get("epoch_median"),
        "images": (tables.get("images") or {}).get("count"),
        "metrics": {
            split: {key: metrics[split].get(key) for key in METRICS}
            for split in SPLITS
            if split in metrics
        },
        **{key: tables.get(key) for key in FACTS},
    }
