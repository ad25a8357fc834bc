"""``mlplab study``."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from mlplab.cli import show
from mlplab.cli.app import AsJson, DataDir, RunsDir, Trust, app, err, note, out, print_json
from mlplab.errors import RecipeError, last_line
from mlplab.live import NoStudyProgress, StudyLines
from mlplab.report.formatting import duration, figure
from mlplab.text import counted


@app.command(no_args_is_help=True)
def study(
    name: Annotated[str, typer.Argument(help="A shipped study's name, or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys of the study to change.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Its short form: minutes, not hours, on two cores.")
    ] = False,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Workers on this machine, or a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster, HOST:PORT or auto; by default one is started here."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Runs at the same time; by default as many as fit."),
    ] = None,
    as_name: Annotated[
        str | None, typer.Option("--name", help="Name of the study's folder in the runs folder.")
    ] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Run a study: many trials by design, the best of each variant on fresh seeds, a verdict.

    A study that was stopped continues when the same command is given again, and failed trials are
    run again.

    Example: mlplab study optimizers --quick
    """
    from mlplab import recipes
    from mlplab.runs import store
    from mlplab.study import design

    if address is not None and engine != "ray":
        raise RecipeError("--address is for a Ray cluster: add --engine ray")
    pairs = {".".join(path): value for path, value in map(recipes.parse_override, overrides or [])}
    chosen = design.load(name, quick, pairs)
    stem = store.name_from(Path(name).stem, "study")
    folder = runs_dir / store.check_name(as_name or stem + "-quick" * quick)

    from mlplab.study import executors, preconditions
    from mlplab.study import run as conduct

    settings = preconditions.Settings(
        folder=folder,
        data_dir=data_dir,
        trust=trust,
        command=shlex.join(_command(name, overrides or [], quick, trust)),
    )
    executors.check(engine, address)
    required = preconditions.prepare(chosen, settings)
    preconditions.begin(chosen, folder, required)
    with (
        executors.opened(
            engine, address, workers, required.needed, folder, note, trust
        ) as executor,
        watching(quiet or as_json, chosen.maximise) as progress,
    ):
        try:
            facts = conduct.conduct(chosen, settings, executor, progress)
        except KeyboardInterrupt:
            note("nothing is lost: the same command continues the study")
            raise
    if as_json:
        print_json(facts)
    else:
        show_study(folder, runs_dir)
    if facts["status"] == "incomplete":
        err.print(f"[red]error:[/red] {escape(_lacking(facts))}")
        raise typer.Exit(1)


def _lacking(facts: dict[str, Any]) -> str:
    """Say which variants have no result, why, and what to do."""
    variants = facts["variants"]
    reasons = {
        name: next((trial["reason"] for trial in variants[name]["trials"] if trial["reason"]), None)
        for name in variants
        if variants[name]["best"] is None
    } | facts["final_failures"]
    name, reason = next(iter(reasons.items()))
    return (
        f"no result for {', '.join(reasons)} of {counted(len(variants), 'variant')}; {name}:"
        f" {last_line(reason or 'no trial has finished')}. The same command runs what failed again"
    )


def _command(name: str, overrides: list[str], quick: bool, trust: bool) -> list[str]:
    words = ["mlplab", "study", name, *overrides]
    return [*words, *["--quick"] * quick, *["--trust"] * trust]


class Board(NoStudyProgress):
    """A table that shows, by variant, what is done, what runs, what is best, and the time left."""

    def __init__(self, live: Live, accuracy: bool) -> None:
        self.live = live
        self.accuracy = accuracy

    def on_total(self, phase: str, totals: dict[str, int], done: dict[str, int]) -> None:
        self.phase, self.totals, self.begun = phase, totals, time.monotonic()
        self.done = {variant: done.get(variant, 0) for variant in totals}
        self.before = sum(self.done.values())
        self.running, self.lost = dict.fromkeys(totals, 0), dict.fromkeys(totals, 0)
        self.best: dict[str, float] = {}
        self._draw()

    def on_begin(self, variant: str) -> None:
        self.running[variant] += 1
        self._draw()

    def on_end(self, variant: str, outcome: str, value: float | None) -> None:
        self.running[variant] -= 1
        self.done[variant] += 1
        self.lost[variant] += outcome in ("failed", "diverged")
        if value is not None:
            better = max if self.accuracy else min
            self.best[variant] = better(self.best.get(variant, value), value)
        self._draw()

    def _draw(self) -> None:
        table = Table(box=None, pad_edge=False, caption=self._caption(), caption_justify="left")
        for number, heading in enumerate((self.phase, "done", "running", "lost", "best")):
            table.add_column(heading, justify="right" if number else "left")
        for variant, total in self.totals.items():
            best = figure(self.best[variant], self.accuracy) if variant in self.best else ""
            running, lost = self.running[variant] or "", self.lost[variant] or ""
            table.add_row(variant, f"{self.done[variant]}/{total}", str(running), str(lost), best)
        self.live.update(table)

    def _caption(self) -> str:
        ended = sum(self.done.values()) - self.before
        left = sum(self.totals.values()) - sum(self.done.values())
        if not ended or not left:
            return ""
        return f"{duration((time.monotonic() - self.begun) / ended * left)} left"


@contextmanager
def watching(quiet: bool, accuracy: bool) -> Iterator[NoStudyProgress]:
    """Yield what draws a table on the terminal until the block ends."""
    if quiet or not err.is_terminal:
        yield NoStudyProgress() if quiet else StudyLines(accuracy)
        return
    with Live(console=err, transient=True, refresh_per_second=4) as live:
        yield Board(live, accuracy)


def show_study(folder: Path, runs_dir: Path) -> None:
    """Print what came of a study."""
    from mlplab.report import study as results
    from mlplab.report.study_page import write_study_page

    write_study_page(folder)
    found = results.load(folder)
    shares = Table(box=None, pad_edge=False)
    for number, heading in enumerate(results.TRIAL_HEADINGS):
        shares.add_column(heading, justify="right" if 0 < number < 7 else "left")
    for row in results.trial_rows(found):
        shares.add_row(*row)
    out.print(shares)
    if found.comparison is not None:
        out.print()
        show.comparison(out, found.comparison, runs_dir, found.data_ids)
        for text in found.comparison.notes:
            note(text)
    for text in found.missing:
        note(text)
    out.print(f"report  {folder / 'report.html'}", markup=False)
