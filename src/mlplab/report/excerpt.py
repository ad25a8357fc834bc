"""A run in short: a line of text, and a piece of HTML without scripts for notebooks."""

import html
from pathlib import Path

from mlplab import files
from mlplab.report.curve_svg import curves
from mlplab.report.formatting import duration, percent
from mlplab.report.page import with_code
from mlplab.runs import layout, store
from mlplab.runs.record import Record
from mlplab.text import counted

SPLITS = ("test", "validation", "train")


def line(folder: Path) -> str:
    """Return a run in a line: ``run 'a': finished, validation 93.1 %, 12 epochs``.

    Raises:
        RunError: if the record is missing or damaged.
    """
    record = store.read_record(folder)
    return f"run '{record.name}': {', '.join(_facts(record))}"


def excerpt(folder: Path) -> str:
    """Return a run as HTML: its facts, learning curves and findings.

    Raises:
        RunError: if the record is missing or damaged.
    """
    record = store.read_record(folder)
    rows = files.read_lines(folder / layout.METRICS)
    parts = [f"<b>{html.escape(record.name)}</b>: {html.escape(', '.join(_facts(record)))}"]
    if rows:
        parts.append(curves({record.name: rows}))
    if record.findings:
        items = [
            f"<li><b>{html.escape(found.heading)}.</b> {with_code(found.text)}</li>"
            for found in record.findings
        ]
        parts.append(f'<ul style="margin: 0; text-align: left">{"".join(items)}</ul>')
    return f'<div style="max-width: 46em">{"<br>".join(parts)}</div>'


def _facts(record: Record) -> list[str]:
    facts: list[str] = [record.status]
    for split in SPLITS:
        accuracy = (record.metrics.get(split) or {}).get("accuracy")
        if accuracy is not None:
            facts.append(f"{split} {percent(accuracy)}")
    if record.epochs:
        facts.append(counted(record.epochs, "epoch"))
    if record.parameters:
        facts.append(counted(record.parameters, "parameter"))
    if record.seconds.train:
        facts.append(duration(record.seconds.train))
    return facts
