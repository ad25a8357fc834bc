"""The server's process."""

import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import uvicorn

from mlplab.ui import guard
from mlplab.ui.laboratory import Laboratory
from mlplab.ui.server import create_app


def serve(
    runs_dir: Path,
    data_dir: Path | None,
    host: str,
    ports: Iterable[int],
    ready: Callable[[str], None],
) -> bool:
    """Serve until Ctrl-C.

    Args:
        runs_dir: the runs folder.
        data_dir: folder that contains the data sets' folders.
        host: address to listen on.
        ports: to try, in order.
        ready: called with the link when browsers can connect.

    Returns:
        False if none of the ports can be listened on.
    """
    listening = next((found for port in ports if (found := _listen(host, port))), None)
    if listening is None:
        return False
    port = listening.getsockname()[1]
    token = guard.token()
    app = create_app(runs_dir, data_dir, token, host, port)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="on"
    )
    shown = "localhost" if host in ("127.0.0.1", "::1") else _shown(host)
    with listening:
        ready(f"http://{shown}:{port}/?token={token}")
        _Server(config, app.state.laboratory).run(sockets=[listening])
    return True


class _Server(uvicorn.Server):
    """A server whose endless streams end with it: it would wait for them."""

    def __init__(self, config: uvicorn.Config, laboratory: Laboratory) -> None:
        super().__init__(config)
        self.laboratory = laboratory

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.laboratory.ending = True
        super().handle_exit(sig, frame)


def _listen(host: str, port: int) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where two servers could then share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)
    except OSError:
        found.close()
        return None
    return found


def _shown(host: str) -> str:
    """Return an address that a browser can open; 0.0.0.0 stands for all of this machine's."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
