"""Whole commands: how long each one takes from start to end, and how much memory it needs."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

POLL = 0.05  # seconds


@dataclass
class Whole:
    """What was observed of a command.

    Attributes:
        begun: when it was started, by ``time.time``.
        seconds: from its start to its end.
        peak_memory_bytes: peak resident memory, as reported by the system.
        lines: the JSON objects that it wrote to its standard output, one per line.
        output: its whole standard output.
        rows: when each line of the watched file appeared, by ``time.time``.
    """

    begun: float
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    output: str = ""
    rows: list[float] = field(default_factory=list)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]


def run(
    command: Sequence[str],
    environ: dict[str, str],
    log: IO[str],
    folder: Path,
    watched: str = "",
) -> Whole:
    """Run a command to its end.

    Args:
        command: the command and its arguments.
        environ: environment variables.
        log: receives its standard error.
        folder: an existing folder, where its standard output is saved.
        watched: a glob pattern in that folder; the lines of the first matching file are watched.

    Raises:
        SystemExit: if the command fails.
    """
    with (folder / "output").open("w+") as output:
        whole = Whole(time.time())
        process = subprocess.Popen(command, stdout=output, stderr=log, env=environ)
        while process.poll() is None:
            whole.peak_memory_bytes = max(whole.peak_memory_bytes, _peak_memory(process.pid))
            _watch(whole, folder, watched)
            time.sleep(POLL)
        whole.seconds = time.time() - whole.begun
        output.seek(0)
        whole.output = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed; see {log.name}")
    return whole


def _watch(whole: Whole, folder: Path, pattern: str) -> None:
    for path in [*folder.glob(pattern)][:1] if pattern else []:
        lines = path.read_bytes().count(b"\n")
        whole.rows += [time.time()] * (lines - len(whole.rows))


def _peak_memory(process: int) -> int:
    """Return a process's peak memory so far; 0 if the system does not report it or it has ended.

    ``wait4`` is not used because its figure includes the memory of the parent process.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii", errors="replace")
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
