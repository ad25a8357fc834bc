"""Signals that end a training cleanly: Ctrl-C, a batch system's, that of a closed terminal."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_asked: int | None = None  # the signal that asked this process to end


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether training should stop; a second Ctrl-C stops at once."""
    pressed = threading.Event()

    def press(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, press))
        yield lambda: pressed.is_set() or _asked is not None


@contextmanager
def ending_later() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a training, and the process only after the run is recorded.

    Where they are ignored (``nohup``) or the user's program handles them, that stays.
    """
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _ask)
                    stack.callback(signal.signal, number, signal.SIG_DFL)
        yield


def asked() -> str | None:
    """Return the name of the signal that asked this process to end, if one did."""
    return None if _asked is None else signal.Signals(_asked).name


def end_if_asked() -> None:
    """End the process if a signal asked for it while a run was trained.

    Raises:
        SystemExit: with the exit code that shells give to that signal.
    """
    global _asked
    if _asked is not None:
        code, _asked = 128 + _asked, None
        raise SystemExit(code)


def _ask(number: int, _: Any) -> None:
    global _asked
    _asked = _asked or number
    for stream in (1, 2):
        with suppress(OSError):
            _replace_closed_terminal(stream)


def _replace_closed_terminal(stream: int) -> None:
    """Discard what is printed on a terminal that is gone, which would be an error."""
    if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream)
        os.close(nothing)
