"""A peer's side of the exchange with the harness.

The peer writes one JSON object per line and reads a line per turn. Standard library only, because
each peer runs in its own environment.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # keep what libraries print out of the JSON output


def settings() -> dict[str, Any]:
    """Return the harness's settings: the program's only argument, as JSON."""
    result: dict[str, Any] = json.loads(sys.argv[1])
    return result


def say(**facts: Any) -> None:
    """Send one object, along with this process's peak memory so far, in bytes."""
    print(json.dumps({**facts, "peak_memory": peak_memory()}), file=_out, flush=True)


def wait() -> None:
    """Wait until it is this peer's turn; exit if the harness is gone."""
    if not sys.stdin.readline():
        os._exit(0)


def serve(epoch: Callable[[], float], **facts: Any) -> None:
    """Report that the peer is ready, then run one epoch per turn and report its seconds."""
    say(ready=True, **facts)
    while True:
        wait()
        say(seconds=epoch())


def peak_memory() -> int:
    """Return the process's peak resident memory; ru_maxrss would include its parent's."""
    try:
        status = Path("/proc/self/status").read_text("ascii", errors="replace")
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
