"""``mlplab recipes``."""

from typing import Annotated

import typer
from rich.table import Table

from mlplab import recipes as shipped
from mlplab.cli.app import AsJson, app, out, print_json, recipe_name

commands = typer.Typer(invoke_without_command=True)
app.add_typer(commands, name="recipes")


@commands.callback()
def listing(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the recipes that ship with mlplab.

    Example: mlplab recipes
    """
    if ctx.invoked_subcommand:
        return
    rows = {name: description(name) for name in shipped.names()}
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text in rows.items():
        table.add_row(f"[bold]{name}[/bold]", text)
    out.print(table)


@commands.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name.")], as_json: AsJson = False
) -> None:
    """Print a recipe.

    Example: mlplab recipes show published
    """
    name = recipe_name(name)
    if as_json:
        print_json(shipped.to_tables(shipped.load(name)))
    else:
        print(shipped.text(name), end="")


def description(name: str) -> str:
    """Return a recipe's header comment but for its first line, the command."""
    return " ".join(shipped.header(shipped.text(name))[1:])
