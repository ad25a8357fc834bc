"""Runs as text in the terminal."""

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlplab.report import formatting, speed
from mlplab.runs import layout, ledger
from mlplab.runs.record import Record
from mlplab.runs.run import Run
from mlplab.text import counted

if TYPE_CHECKING:
    from mlplab.report.comparison import Comparison
    from mlplab.report.folds import Folds
    from mlplab.statistics.metrics import Metric

SPLITS = ("train", "validation", "test", "cifar10.1")


def interval(metrics: Mapping[str, Any]) -> str:
    """Return the 95 % interval of an accuracy as ``52.4 to 56.3``, in percent."""
    return f"{100 * metrics['accuracy_low']:.1f} to {100 * metrics['accuracy_high']:.1f}"


def metric_text(metrics: Mapping[str, Any], metric: "Metric", decimals: int = 3) -> str:
    """Return a metric of a split: a share in percent, or a number."""
    value = metrics.get(metric.name)
    if metric.unit == "share":
        return formatting.percent(value)
    return formatting.DASH if value is None else f"{value:.{decimals}f}"


def views(over_views: Mapping[str, Any]) -> str:
    """Return in words what a split's ``tta`` was averaged over."""
    shift = over_views["shift"]
    parts = ["mirrored"] * over_views["flip"]
    parts += [f"moved by {shift} pixel{'s' * (shift != 1)}"] * (shift > 0)
    return f"{over_views['views']} views of each image ({', '.join(parts)})"


def run(console: Console, run: Run) -> None:
    """Print what a run reached and where its report lies."""
    record = run.record
    console.print(f"[bold]{record.name}[/bold]: {_ending(record)}")
    for finding in record.findings:
        console.print(f"- {escape(finding.text.replace('`', ''))}", style="dim")
    table = Table(box=None, pad_edge=False)
    from mlplab.statistics.metrics import METRICS  # and with it SciPy, a sixth of a second

    shown = [metric for metric in METRICS if metric.headline]
    headings = [metric.label for metric in shown]
    headings.insert(headings.index("accuracy") + 1, "95 % interval")
    for heading in ("", *headings, "images"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row, metrics in _rows(record):
        cells = [metric_text(metrics, metric) for metric in shown]
        cells.insert(headings.index("95 % interval"), interval(metrics))
        table.add_row(row, *cells, f"{metrics['n']:,}")
    console.print(table)
    for content in speed.tables(run.folder, record.to_json()).values():
        _print(console, content)
    if record.selected_on == "test":
        console.print(
            "[yellow]selected on the test split, so the test accuracy is optimistic[/yellow]"
        )
    if "test" in record.metrics and record.ledger:
        console.print(
            f"test set evaluated {formatting.openings(record.ledger)} in this runs folder"
        )
    if is_untested(record) and (run.folder / layout.MODEL).is_file():
        console.print(untested(record.name))
    console.print(f"parameters  {record.parameters:,}")
    console.print(f"report      {escape(str(run.folder / 'report.html'))}")


def is_untested(record: Record) -> bool:
    """Return whether a finished run has seen nothing of the test set."""
    seen = "test" in record.metrics or record.selected_on == "test"
    return record.status == "finished" and not seen


def untested(name: str) -> str:
    """Return the line that says how to evaluate on the test set."""
    return (
        f"test set not evaluated: `mlplab evaluate {escape(name)} --split test`, or train with"
        " --test"
    )


def _print(console: Console, content: Mapping[str, Any]) -> None:
    """Print columns and rows: words to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(content["columns"]):
        table.add_column(heading, justify="right" if number else "left")
    for row in content["rows"]:
        table.add_row(*row)
    console.print(table)


def _ending(record: Record) -> str:
    best = f", weights of epoch {record.best_epoch}" if record.best_epoch < record.epochs else ""
    if record.status == "interrupted":
        best = best if record.best_epoch else ", weights at the interruption"
    reason = f" ({record.reason})" if record.reason else ""
    when = f"after {counted(record.epochs, 'epoch')}"
    if record.status == "interrupted" and not record.epochs:
        when = "in epoch 1"
    return f"{record.status}{escape(reason)} {when}{best}, {record.seconds.total:.1f} s"


def replicates(console: Console, records: Sequence[Record]) -> None:
    """Print mean and standard deviation over runs that differ in their seed alone."""
    done = [record for record in records if record.status == "finished"]
    for record in records:
        if record not in done:
            console.print(f"left out of the mean: {record.name}, {record.status}")
    table = Table(title=f"{len(done)} seeds", box=None, pad_edge=False, title_justify="left")
    for heading in ("", "mean", "sd", "each seed"):
        table.add_column(heading, justify="left" if heading in ("", "each seed") else "right")
    accuracies: dict[str, list[float]] = {}
    for record in done:
        for row, metrics in _rows(record):
            accuracies.setdefault(row, []).append(metrics["accuracy"])
    for row, values in accuracies.items():
        if len(values) < len(done):
            continue  # a mean over some of the seeds would stand beside those over all
        spread = f"{100 * statistics.stdev(values):.2f}" if len(values) > 1 else "–"
        each = "  ".join(f"{100 * value:.1f}" for value in values)
        table.add_row(row, formatting.percent(statistics.mean(values)), spread, each)
    console.print(table)


def folds(console: Console, found: "Folds", folder: Path) -> None:
    """Print the accuracy over folds, and what their predictions together say."""
    table = Table(title=counted(len(found.names), "fold"), box=None, pad_edge=False)
    table.title_justify = "left"
    for heading in ("", "mean", "95 % interval", "each fold"):
        left = heading in ("", "each fold")
        table.add_column(heading, justify="left" if left else "right")
    each = "  ".join(f"{100 * value:.1f}" for value in found.accuracies)
    between = f"{100 * found.low:.1f} to {100 * found.high:.1f}" if found.low == found.low else "–"
    table.add_row("accuracy", formatting.percent(found.mean), between, each)
    console.print(table)
    metrics = found.metrics
    balanced = formatting.percent(metrics["balanced_accuracy"])
    console.print(
        f"all {metrics['n']:,} images, each predicted by a network new to it: loss"
        f" {metrics['loss']:.3f}, balanced accuracy {balanced}"
    )
    if found.labels:
        few = counted(len(found.labels), "image")
        console.print(f"labels to look at: {few}, such as {escape(found.labels[0]['file'])}")
    console.print(f"folder      {escape(str(folder))}")


def _rows(record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is said of each split: its metrics, then those over views of an image."""
    for split in SPLITS:
        metrics = record.metrics.get(split)
        # Validation that was the test split itself has no figures of its own.
        if metrics is None or (split == "validation" and record.selected_on == "test"):
            continue
        yield split, metrics
        if over_views := metrics.get("tta"):
            yield f"{split}, {over_views['views']} views", {**metrics, **over_views}


def comparison(
    console: Console, found: "Comparison", runs_dir: Path, data_ids: Collection[str]
) -> None:
    """Print configurations side by side, and the verdicts."""
    from mlplab.report import comparison_tables  # and with it SciPy, a sixth of a second

    headings, rows = comparison_tables.rows(found)
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    for text in comparison_tables.verdicts(found):
        console.print(escape(text))
    if any("test" in entry.accuracy for entry in found.entries):
        opened = formatting.openings(ledger.count(runs_dir, data_ids))
        console.print(f"[dim]test set evaluated {opened} in this runs folder[/dim]")
