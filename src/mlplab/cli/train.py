"""``mlplab train``."""

import contextlib
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mlplab.cli import progress, show
from mlplab.cli.app import AsJson, DataDir, RunsDir, Trust, app, err, note, out, print_json
from mlplab.errors import RecipeError

if TYPE_CHECKING:
    from mlplab.runs.run import Run

EXIT = {"finished": 0, "interrupted": 130, "diverged": 1}


@app.command(no_args_is_help=True)
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys to change.")
    ] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Several runs: 0..4 or 0,3,7.", metavar="A..B")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    group: Annotated[str | None, typer.Option(help="A label for comparisons.")] = None,
    no_test: Annotated[
        bool, typer.Option("--no-test", help="Leave the test split closed.")
    ] = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Afterwards, time and trace steps beside their limit."),
    ] = False,
    devices: Annotated[
        str, typer.Option(help="Devices that share each batch: a number, or all.")
    ] = "1",
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a recipe, evaluate the network, and record the run.

    Example: mlplab train seed optimizer.name=sgd optimizer.learning_rate=0.05 --seeds 0..2
    """
    from mlplab import recipes

    if seed is not None and seeds is not None:
        raise RecipeError("--seed and --seeds cannot both be given")
    chosen = recipes.load(recipe, overrides or [])
    if seeds and seeds.isdigit():
        note(f"--seeds {seeds} is one run, with seed {seeds}; several seeds are written 0..2")
    numbers = parse_seeds(seeds) if seeds else [chosen.seed if seed is None else seed]
    variants = [recipes.with_seed(chosen, number) for number in numbers]

    from mlplab.runs import execute, facts

    done: list[Run] = []
    for variant in variants:
        options = facts.Options(
            data_dir=data_dir,
            runs_dir=runs_dir,
            name=f"{name}-s{variant.seed}" if name and len(variants) > 1 else name,
            group=group,
            recipe_name=Path(recipe).stem,
            command=_command(recipe, overrides or [], variant.seed, devices, trust),
            open_test=not no_test,
            devices=devices,
            trust=trust,
            profile=profile,
        )
        length = variant.training
        # What the user's own code prints must not stand among the JSON.
        talk = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
        bar = progress.bar(length.epochs, length.batch_size, err, quiet or as_json)
        with talk, bar as watcher:
            done.append(execute.run(variant, options, watcher))
        if not as_json:
            show.run(out, done[-1])
        if done[-1].record.status == "interrupted":
            break
    if as_json:
        records = [run.record.to_json() for run in done]
        print_json(records if seeds else records[0])
    elif len(done) > 1:
        show.replicates(out, [run.record for run in done])
    if code := max(EXIT[run.record.status] for run in done):
        if done[-1].record.reason:
            err.print(f"[red]error:[/red] {escape(done[-1].record.reason)}")
        raise typer.Exit(code)


def parse_seeds(text: str) -> list[int]:
    """Read ``0..4`` (both ends included) or ``0,3,7``.

    Raises:
        RecipeError: if it is neither.
    """
    span = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", text)
    if span:
        first, last = int(span[1]), int(span[2])
        if first <= last < first + 10_000:
            return list(range(first, last + 1))
    elif re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        return list(dict.fromkeys(map(int, text.split(","))))
    raise RecipeError(f"--seeds {text}: write 0..4 for five runs, or 0,3,7")


def _command(recipe: str, overrides: list[str], seed: int, devices: str, trust: bool) -> str:
    words = ["mlplab", "train", recipe, *overrides, "--seed", str(seed)]
    if devices != "1":
        words += ["--devices", devices]
    return shlex.join([*words, "--trust"] if trust else words)
