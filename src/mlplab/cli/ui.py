"""``mlplab ui``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mlplab.cli.app import DataDir, RunsDir, app, err, note, out
from mlplab.errors import UserError

PORT = 8642
TRIED = 20
"""Ports, if none is asked for."""


@app.command()
def ui(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help=f"Port to listen on; by default {PORT}, or the next free one."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default only this machine reaches it.")
    ] = "127.0.0.1",
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Open the laboratory in a browser: train, watch, compare, and look at mistakes.

    Trainings go on when it is closed. Only people with the printed link can get in.

    Example: mlplab ui
    """
    import webbrowser

    from mlplab.ui import guard
    from mlplab.ui.run import serve

    runs_dir.mkdir(parents=True, exist_ok=True)
    if not guard.is_loopback(host):
        note(
            f"every machine that reaches {host} can reach this server, and anyone with the link can"
            " train here; the connection is not encrypted"
        )
    ports = [port] if port is not None else range(PORT, PORT + TRIED)

    def ready(link: str) -> None:
        out.print(f"[bold]mlplab ui[/bold]  {escape(link)}", soft_wrap=True)
        err.print("[dim]Ctrl-C ends the server; trainings go on.[/dim]")
        if browser:
            webbrowser.open(link)

    if not serve(runs_dir, data_dir, host, ports, ready):
        what = f"port {port}" if port is not None else f"a port from {PORT} on"
        raise UserError(f"{what} of {host} cannot be listened on; choose another with --port")
