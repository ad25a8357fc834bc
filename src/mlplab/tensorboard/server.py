"""``mlplab tensorboard``: TensorBoard's server over the runs folder."""

import errno
import ipaddress
import socket
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path

from mlplab.errors import RunError, UserError


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def serve(
    runs_dir: Path,
    host: str = "127.0.0.1",
    port: int = 6006,
    ready: Callable[[str], None] = _to_stderr,
    warn: Callable[[str], None] = _to_stderr,
) -> None:
    """Serve the dashboard until Ctrl-C.

    Args:
        runs_dir: the folder of the runs; later ones appear as well.
        host: the address to listen on; only this machine can reach the default.
        port: if it is taken, or 0, a free one is used.
        ready: called with the dashboard's address once it responds.
        warn: called with each warning, one line each.

    Raises:
        RunError: if there is nothing to show.
        UserError: if it is not possible to listen on the address.
    """
    if not any(runs_dir.glob("*/tensorboard/*/*tfevents*")):
        raise RunError(
            f"no run in {runs_dir} has written anything for TensorBoard: train one with the"
            " TensorBoard callback, or pass another folder with --runs-dir"
        )
    if not _is_loopback(host):
        warn(f"everyone who can reach {host} can see these runs; TensorBoard asks for no password")
    if not _is_free(host, port):
        warn(f"port {port} is taken; using another one")
        port = 0
    ready(_launch(runs_dir, host, port))
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _launch(runs_dir: Path, host: str, port: int) -> str:
    from tensorboard.program import TensorBoard, TensorBoardServerException

    board = TensorBoard()
    board.configure(logdir=str(runs_dir), host=host, port=port)
    try:
        with redirect_stderr(StringIO()):  # advice on TensorBoard's own options
            return str(board.launch())
    except TensorBoardServerException as error:
        raise UserError(f"TensorBoard cannot start: {error.msg}") from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_free(host: str, port: int) -> bool:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server will: a port whose last connections are only timing out is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return True
