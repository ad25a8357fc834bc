"""Where a run's time went: the parts of its wall-clock time, and a step against its limit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlplab.files import read_lines
from mlplab.report.formatting import DASH, is_number, percent
from mlplab.runs import layout

Rows = list[tuple[str, str, str]]


def tables(folder: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables ``step`` and ``shares`` of a profiled run; for others, nothing.

    Args:
        folder: of the run.
        record: content of ``record.json``.
    """
    profile = read_profile(folder)
    if profile is None:
        return {}
    rows = read_lines(folder / layout.METRICS)
    return {
        "step": {
            "columns": ["part of a step", "milliseconds", "times the limit"],
            "rows": step_rows(profile),
        },
        "shares": {
            "columns": ["part of the run", "seconds", "share"],
            "rows": share_rows(record, rows, profile),
        },
    }


def read_profile(folder: Path) -> dict[str, Any] | None:
    """Return ``profile/table.json`` of a run's folder, or ``None`` if it has no readable one."""
    try:
        table = json.loads((folder / layout.PROFILE / layout.PROFILE_TABLE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return table if isinstance(table, dict) else None


def step_rows(profile: dict[str, Any]) -> Rows:
    """Return a step's parts as (what, milliseconds, times the limit)."""
    limit, measured = profile.get("limit") or {}, profile.get("step_seconds") or {}
    whole = limit.get("seconds")
    parts = {
        "matrix products, at the best rate here": limit.get("products_seconds"),
        "the optimizer's bytes, at the best bandwidth here": limit.get("optimizer_seconds"),
        "the limit: both": whole,
        "measured, median": measured.get("median"),
    }
    return [(name, _milliseconds(value), _over(value, whole)) for name, value in parts.items()]


def share_rows(
    record: dict[str, Any], rows: Sequence[dict[str, Any]], profile: dict[str, Any]
) -> Rows:
    """Return the parts of a run's wall-clock time as (what, seconds, share).

    Args:
        record: of the run.
        rows: its epochs.
        profile: from :func:`read_profile`; profiling is a separate part.
    """
    seconds = record["seconds"]
    total, train, compiling = (float(seconds[key]) for key in ("total", "train", "compile"))
    steps = sum(row["seconds"] for row in rows if is_number(row.get("seconds")))
    profiling = float(profile.get("seconds") or 0.0)
    parts = {
        "training steps": steps,
        "compiling": compiling,
        "validation and callbacks": train - compiling - steps,
        "profiling": profiling,
        "data, evaluation, figures, files": total - train - profiling,
    }
    return [
        (name, f"{max(value, 0.0):.2f}", percent(max(value, 0.0) / total) if total else DASH)
        for name, value in parts.items()
    ]


def _milliseconds(seconds: Any) -> str:
    return f"{1e3 * seconds:.3g}" if is_number(seconds) else DASH


def _over(value: Any, whole: Any) -> str:
    return f"{value / whole:.2f}" if is_number(value) and is_number(whole) and whole else DASH
