"""A real server, as `mlplab ui` starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LINK = re.compile(r"(http://localhost:(\d+)/\?token=(\S+))")


@dataclass
class Server:
    """A server's process.

    Attributes:
        process: its process.
        link: what it printed.
        port: where it listens.
        token: of the link.
        runs_dir: its runs folder.
    """

    process: subprocess.Popen[str]
    link: str
    port: int
    token: str
    runs_dir: Path

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        known: bool = True,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of an answer.

        Args:
            method: of the request.
            path: likewise.
            body: bytes, or something for JSON.
            headers: instead of those that a browser sends.
            known: whether the token is sent.
        """
        sent = {"Cookie": f"mlplab-{self.port}={self.token}"} if known else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body)
        link = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            link.request(method, path, body, sent | (headers or {}))
            answer = link.getresponse()
            return answer.status, answer.read(), dict(answer.headers)
        finally:
            link.close()

    def json(self, path: str, body: Any = None, method: str | None = None) -> dict[str, Any]:
        """Return what a route answers."""
        found: dict[str, Any] = json.loads(
            self.ask(method or ("GET" if body is None else "POST"), path, body)[1]
        )
        return found

    def kill(self) -> None:
        """Kill the server, and nothing that it has started."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Return what starts a server on a runs folder; all of them end with the module."""
    started: list[Server] = []
    cache = tmp_path_factory.mktemp("cache")

    def start(runs_dir: Path | None = None, *more: str) -> Server:
        folder = runs_dir or tmp_path_factory.mktemp("runs")
        words = ["ui", "--no-browser", "--runs-dir", str(folder), *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "mlplab", *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"MLPLAB_CACHE_DIR": str(cache), "COLUMNS": "200"},
        )
        assert process.stdout is not None
        found = LINK.search(process.stdout.readline())
        assert found is not None
        server = Server(process, found[1], int(found[2]), found[3], folder)
        started.append(server)
        return server

    yield start
    for server in started:
        for job in (server.runs_dir / ".queue").glob("*.json"):
            pid = json.loads(job.read_text()).get("pid")
            code = json.loads(job.read_text()).get("code")
            if pid and code is None:
                os.kill(pid, signal.SIGKILL)
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(10)
