"""``mlplab lr-find``."""

from pathlib import Path
from typing import Annotated

import typer

from mlplab.cli.app import (
    AsJson,
    DataDir,
    RunsDir,
    Trust,
    app,
    note,
    out,
    path_option,
    print_json,
    recipe_name,
)
from mlplab.cli.progress import NotesOnly
from mlplab.errors import RecipeError


@app.command(name="lr-find", no_args_is_help=True)
def lr_find(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a .toml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys to change.")
    ] = None,
    low: Annotated[float, typer.Option(min=1e-12, max=1e6, help="The lowest rate.")] = 1e-6,
    high: Annotated[float, typer.Option(min=1e-12, max=1e6, help="The highest rate.")] = 10.0,
    steps: Annotated[int, typer.Option(min=20, max=100_000, help="Steps, at most.")] = 200,
    picture: Annotated[Path, path_option(help="File for the picture.")] = Path("lr-find.png"),
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Find a learning rate: train a few steps at rising rates, until the loss explodes.

    Example: mlplab lr-find published-honest optimizer.name=sgd
    """
    from mlplab import recipes

    if low >= high:
        raise RecipeError(f"--low {low:g} is not below --high {high:g}")
    chosen = recipes.load(recipe_name(recipe), overrides or [])

    from mlplab import figures
    from mlplab.experiment import lr_finder
    from mlplab.experiment.options import Options

    options = Options(data_dir=data_dir, runs_dir=runs_dir, trust=trust)
    found = lr_finder.find(chosen, options, NotesOnly(), low, high, steps)
    figures.save(figures.range_test(*found), picture)
    if as_json:
        tables = {"rates": found.rates.tolist(), "losses": found.losses.tolist()}
        print_json({"suggestion": found.suggestion, **tables, "picture": str(picture)})
        return
    out.print(
        f"{len(found.rates)} steps, {found.rates[0]:.2g} to {found.rates[-1]:.2g};"
        f" the lowest loss {found.smoothed.min():.3f}"
    )
    if found.suggestion is None:
        note(
            "the loss did not fall: start lower (--low), take more --steps, or look at the picture"
        )
    else:
        out.print(f"try  optimizer.learning_rate={found.suggestion:g}")
        if found.still_falling:
            note(
                "the loss was still falling at the highest rate, so the range is too low; give a"
                " larger --high"
            )
    out.print(f"picture  {picture}", markup=False)
