"""``mlplab tensorboard``."""

from pathlib import Path
from typing import Annotated

import typer

from mlplab.cli.app import RunsDir, app, note, out
from mlplab.tensorboard import server as board


@app.command()
def tensorboard(
    runs_dir: RunsDir = Path("runs"),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 6006,
) -> None:
    """Show TensorBoard until Ctrl-C; reachable only from this machine unless --host is given.

    Example: mlplab tensorboard
    """
    board.serve(runs_dir, host, port, ready=lambda url: out.print(url), warn=note)
