"""``mlplab runs``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from mlplab.cli import show as shown
from mlplab.cli.app import AsJson, RunName, RunsDir, app, note, out, print_json
from mlplab.errors import RunError
from mlplab.recipes import RENAMED
from mlplab.report import formatting
from mlplab.runs import ledger, store, tidy
from mlplab.runs.record import Record, Status
from mlplab.runs.run import Run
from mlplab.text import byte_size, counted

commands = typer.Typer(invoke_without_command=True)
app.add_typer(commands, name="runs")

Order = Literal["validation", "started", "seconds", "name"]


@commands.callback()
def listing(
    ctx: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    recipe: Annotated[str | None, typer.Option(help="Only runs of this recipe.")] = None,
    group: Annotated[str | None, typer.Option(help="Only runs of this group.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only runs of this status.")] = None,
    sort: Annotated[Order, typer.Option(help="What to sort by.")] = "validation",
    as_json: AsJson = False,
) -> None:
    """List the runs, ranked by validation accuracy.

    Example: mlplab runs --recipe published-honest --sort seconds
    """
    if ctx.invoked_subcommand:
        return
    records = []
    for folder in store.folders(runs_dir):
        try:
            records.append(store.read_record(folder))
        except RunError as error:
            note(f"left out: {error}")
    wanted = {"recipe": recipe and RENAMED.get(recipe, recipe), "group": group, "status": status}
    records = [r for r in records if all(v in (None, _of(r, k)) for k, v in wanted.items())]
    records.sort(key=lambda record: _key(record, sort))
    if as_json:
        print_json([record.to_json() for record in records])
    elif not records:
        out.print(f"no runs in {runs_dir}; `mlplab train quickstart` makes one")
    else:
        out.print(_table(records))
        for record in _one_each([r for r in records if "test" in r.metrics]):
            count = formatting.openings(ledger.count(runs_dir, record.data_ids))
            title = escape(record.data_title)
            out.print(f"[dim]test set of {title} evaluated {count}[/dim]")


def _one_each(records: list[Record]) -> list[Record]:
    """Return one record of each data set."""
    found: list[Record] = []
    for record in records:
        if not any(record.data_ids & other.data_ids for other in found):
            found.append(record)
    return found


def _of(record: Record, key: str) -> str | None:
    """Return a fact of a record; a recipe by its current name."""
    value: str | None = getattr(record, key)
    return RENAMED.get(value, value) if key == "recipe" and value else value


def _key(record: Record, sort: Order) -> Any:
    if sort == "validation":
        # A run that selected on the test split has no honest validation figure: it goes last.
        honest = record.selected_on == "validation"
        accuracy = record.metrics.get("validation", {}).get("accuracy", -1.0)
        # Accuracies on different data sets are not to be ranked among each other.
        return (record.data_title, not honest, -accuracy, record.name)
    return {
        "started": record.started,
        "seconds": record.seconds.total,
        "name": record.name,
    }[sort]


def _table(records: list[Record]) -> Table:
    table = Table(box=None, pad_edge=False)
    # In a narrow terminal a column goes, not the end of the names: they are typed again.
    table.add_column("run", no_wrap=True, min_width=max(len(record.name) for record in records))
    wide = out.width >= 100
    table.add_column("data")
    headings = ["status", "epochs", "validation", "test", *["total seconds", "parameters"] * wide]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "status" else "right")
    for record in records:
        on_test = record.selected_on == "test"
        accuracy = {split: record.metrics.get(split, {}).get("accuracy") for split in shown.SPLITS}
        table.add_row(
            record.name,
            escape(record.data_title),
            record.status,
            str(record.epochs),
            "on test" if on_test else formatting.percent(accuracy["validation"]),
            formatting.percent(accuracy["test"]),
            *[f"{record.seconds.total:.1f}", f"{record.parameters:,}"] * wide,
        )
    return table


@commands.command()
def show(run: RunName, runs_dir: RunsDir = Path("runs"), as_json: AsJson = False) -> None:
    """Show one run in full.

    Example: mlplab runs show last
    """
    found = Run(store.find(runs_dir, run))
    if as_json:
        print_json(found.record.to_json() | {"history": found.history})
        return
    shown.run(out, found)
    history = Table(box=None, pad_edge=False)
    rows = found.history
    for heading in rows[0] if rows else ():
        history.add_column(heading, justify="right")
    for row in rows:
        history.add_row(*("–" if value is None else f"{value:.5g}" for value in row.values()))
    out.print(history)
    out.print(found.recipe_text, markup=False)


@commands.command()
def check(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs; by default all.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Compare every file of some or all runs with the hashes in their records.

    Example: mlplab runs check
    """
    folders = [store.find(runs_dir, run) for run in runs] if runs else store.folders(runs_dir)
    checks = [tidy.check(folder) for folder in folders]
    checks += [] if runs else tidy.nameless(runs_dir)
    damaged = [found for found in checks if found.problems]
    if as_json:
        print_json([asdict(found) for found in checks])
    else:
        for found in damaged:
            for problem in found.problems:
                out.print(f"[red]{escape(found.name)}[/red]: {escape(problem)}")
        for found in checks:
            if found.unknown:
                note(f"{found.name}: not in its record: {', '.join(found.unknown)}")
        files = sum(found.files for found in checks)
        out.print(
            f"{counted(len(checks), 'run')}, {counted(files, 'file')} compared,"
            f" {counted(len(damaged), 'run')} damaged"
        )
    if damaged:
        raise typer.Exit(1)


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]


@commands.command(no_args_is_help=True)
def rm(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Their whole names.")],
    runs_dir: RunsDir = Path("runs"),
    yes: Yes = False,
) -> None:
    """Remove runs with everything in their folders.

    Example: mlplab runs rm quickstart-20260101-120000-s0
    """
    _remove(tidy.removable(runs_dir, runs), runs_dir, yes)


@commands.command()
def gc(runs_dir: RunsDir = Path("runs"), yes: Yes = False) -> None:
    """Remove what killed processes left behind, and checkpoints of runs that have ended.

    Example: mlplab runs gc
    """
    found = tidy.rubbish(runs_dir)
    if not found:
        out.print(f"nothing to tidy in {runs_dir}")
        return
    _remove(found, runs_dir, yes)


def _remove(paths: list[Path], runs_dir: Path, yes: bool) -> None:
    sizes = {path: tidy.size(path) for path in paths}
    for path, size in sizes.items():
        name = path.relative_to(runs_dir) if path.is_relative_to(runs_dir) else path
        out.print(f"{escape(str(name))}  [dim]{byte_size(size)}[/dim]")
    total = f"{counted(len(paths), 'path')}, {byte_size(sum(sizes.values()))}"
    if not yes and not typer.confirm(f"remove these ({total})?"):
        out.print("nothing was removed")
        return
    for path in paths:
        tidy.remove(path)
    out.print(f"removed: {total}")
