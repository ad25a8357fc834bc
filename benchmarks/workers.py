"""Contestants as separate processes, each in its own environment, that sleep between turns."""

import json
import os
import signal
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks import FLAGS

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = HERE / "environments"
OURS = "mlplab"  # the environment in which the harness itself runs

# Always set: otherwise a process inherits the backend that mlplab chose for this one.
TENSORFLOW, JAX = {"KERAS_BACKEND": "tensorflow"}, {"KERAS_BACKEND": "jax"}


@dataclass(frozen=True)
class Contestant:
    """A participant in a race.

    Attributes:
        name: shown in tables.
        program: a file in ``peers/``.
        environment: a file in ``peers/requirements/``, without ``.txt``; or ``OURS``.
        settings: passed to the program as JSON.
        environ: environment variables, added to those of this process.
        apart: why it is set apart, if it does different work from the others.
    """

    name: str
    program: str
    environment: str = OURS
    settings: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    apart: str = ""

    def command(self, settings: dict[str, Any]) -> list[str]:
        """Return the command line that runs the program with additional settings."""
        asked = json.dumps(self.settings | settings)
        return [str(python(self.environment)), str(PEERS / self.program), asked]

    def environment_variables(self) -> dict[str, str]:
        """Return the program's variables: this process's, without those that mlplab added."""
        given = dict(os.environ)
        if self.environment != OURS:
            given.pop("XLA_FLAGS", None)
            given |= {"XLA_FLAGS": FLAGS} if FLAGS else {}
        return given | self.environ


class Worker:
    """A contestant's process: it works when told to and is stopped in between.

    Args:
        contestant: the contestant.
        settings: additional settings for this session, such as the location of the data.
        log: receives the process's standard error.
    """

    def __init__(self, contestant: Contestant, settings: dict[str, Any], log: IO[str]) -> None:
        self.name = contestant.name
        self.log = log
        self.process = subprocess.Popen(
            contestant.command(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=contestant.environment_variables(),
        )
        self.last = self._hear()
        self.versions: dict[str, str] = self.last.get("versions", {})
        self._sleep()

    def turn(self) -> float:
        """Let the process work once, and return the seconds it took by its own clock."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.last = self._hear()
        self._sleep()
        return float(self.last["seconds"])

    def close(self) -> None:
        """End the process."""
        self.process.kill()  # also ends a stopped process
        self.process.wait()

    def _sleep(self) -> None:
        # Otherwise, threads that wait for work would spin during another contestant's turn.
        self.process.send_signal(signal.SIGSTOP)

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} exited unexpectedly; see {self.log.name}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def python(environment: str) -> Path:
    """Return the interpreter of an environment, after creating the environment if needed."""
    if environment == OURS:
        return Path(sys.executable)
    wanted = PEERS / "requirements" / f"{environment}.txt"
    folder = ENVIRONMENTS / environment
    interpreter, installed = folder / "bin" / "python", folder / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        print(f"making the environment of {environment}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--requirement"]
        subprocess.run([*install, str(wanted)], check=True)
        installed.write_text(wanted.read_text())
    return interpreter
