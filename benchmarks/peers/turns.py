"""A peer's side of the conversation with the harness: one JSON object a line, in and out.

Standard library only, because each peer runs in an environment of its own.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print must not stand among the JSON


def settings() -> dict[str, Any]:
    """Return what the harness asks for: the program's one argument, as JSON."""
    result: dict[str, Any] = json.loads(sys.argv[1])
    return result


def say(**facts: Any) -> None:
    """Send one object, with the most memory that this process has held so far, in bytes."""
    print(json.dumps({**facts, "peak_memory": peak_memory()}), file=_out, flush=True)


def wait() -> None:
    """Sleep until it is this peer's turn; end when the harness is gone."""
    if not sys.stdin.readline():
        os._exit(0)


def serve(epoch: Callable[[], float], **facts: Any) -> None:
    """Say that the peer is ready, then run an epoch a turn, telling its seconds."""
    say(ready=True, **facts)
    while True:
        wait()
        say(seconds=epoch())


def peak_memory() -> int:
    """Return the process's peak resident memory; ru_maxrss would count its parent's as well."""
    try:
        status = Path("/proc/self/status").read_text("ascii", errors="replace")
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
