"""What ``mlplab ui`` costs: its start, a list of thousands of runs, pages that watch a training.

    python -m benchmarks.ui --rounds 5

The list is asked for twice: the first time every record is read. Trainings with and without pages
that watch them take turns.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import mlplab
from benchmarks import race, report
from mlplab.runs import layout
from mlplab.ui import server as application

RUNS = 5000
PAGES = 20
LINK = re.compile(r"http://localhost:(\d+)/\?token=(\S+)")
RECIPE = ["published-honest", "data.share=0.2", "training.epochs=6"]
SENT = ("*.js", "*.css", "*.html", "*.svg")


def main() -> None:
    """Measure, and write ``results/ui.*``."""
    parser = race.options(__doc__)
    asked = race.parse(parser)
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "question": "what the pages of mlplab ui cost",
            **report.facts(),
            "data": "CIFAR-10 and copies of a run on digits",
            "first_page_seconds": _first_pages(Path(folder) / "empty", asked.rounds),
            "bytes": sum(path.stat().st_size for path in _sent()),
            **_listed(Path(folder) / "many", asked),
            **_watched(Path(folder) / "watched", asked),
        }
    (asked.out / "ui.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "ui.md").write_text(_table(result))
    print(_table(result))


@contextmanager
def served(runs_dir: Path) -> Iterator[tuple[int, str, int]]:
    """Start a server on a folder; yield port, the cookie that lets a page in, and its process."""
    words = ["-m", "mlplab", "ui", "--no-browser", "--runs-dir", str(runs_dir)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = LINK.search(process.stdout.readline())
        assert found is not None
        try:
            yield int(found[1]), f"mlplab-{found[1]}={found[2]}", process.pid
        finally:
            process.terminate()


def _ask(port: int, cookie: str, path: str) -> bytes:
    link = HTTPConnection("127.0.0.1", port)
    link.request("GET", path, headers={"Cookie": cookie})
    return link.getresponse().read()


def _first_pages(runs_dir: Path, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with served(runs_dir) as (port, cookie, _):
            _ask(port, cookie, "/")
            times.append(time.perf_counter() - begun)
    return times


def _sent() -> list[Path]:
    folders = (application.STATIC, application.UPLOT)
    return [path for folder in folders for kind in SENT for path in folder.rglob(kind)]


def _listed(runs_dir: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds in which a list of copies of a run is answered."""
    count = 100 if asked.quick else RUNS
    run = mlplab.train("quickstart", runs_dir=runs_dir, name="first", progress=None)
    for number in range(count - 1):
        folder = runs_dir / f"copy-{number:05d}"
        folder.mkdir()
        for name in (layout.RECORD, layout.METRICS, layout.RECIPE):
            shutil.copy(run.folder / name, folder / name)
    first: list[float] = []
    after: list[float] = []
    for _ in range(asked.rounds):
        with served(runs_dir) as (port, cookie, _):
            for times in (first, after):
                begun = time.perf_counter()
                found = json.loads(_ask(port, cookie, "/api/runs"))["runs"]
                times.append(time.perf_counter() - begun)
                assert len(found) == count
    return {"runs": count, "first_seconds": first, "after_seconds": after}


def _watched(runs_dir: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of trainings that nobody watches, and of those that pages do."""
    times: dict[str, list[float]] = {"alone": [], "watched": []}
    cores: list[float] = []
    with served(runs_dir) as (port, cookie, server):
        for turn in range(asked.rounds):
            for kind in times:
                name = f"{kind}-{turn}"
                words = ["train", *RECIPE, "--name", name, "--runs-dir", str(runs_dir), "--quiet"]
                over = threading.Event()
                pages = PAGES if kind == "watched" else 0
                watching = [
                    threading.Thread(target=_watch, args=(port, cookie, name, over))
                    for _ in range(pages)
                ]
                process = subprocess.Popen(
                    [sys.executable, "-m", "mlplab", *words], stdout=subprocess.DEVNULL
                )
                for thread in watching:
                    thread.start()
                begun, used = time.perf_counter(), _processor_seconds(server)
                process.wait()
                if pages:
                    passed = time.perf_counter() - begun
                    cores.append((_processor_seconds(server) - used) / passed)
                over.set()
                for thread in watching:
                    thread.join()
                seconds = mlplab.load_run(name, runs_dir).record.seconds
                times[kind].append(seconds.train - seconds.compile)
    return {"pages": PAGES, "training_seconds": times, "server_cores": cores}


def _processor_seconds(process: int) -> float:
    """Return the processor time that a process has used (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _watch(port: int, cookie: str, name: str, over: threading.Event) -> None:
    """Read a run's events as a page does, from when it begins."""
    heads = f"Host: localhost:{port}\r\nCookie: {cookie}\r\n\r\n"
    request = f"GET /api/runs/{name}/events HTTP/1.1\r\n{heads}"
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.settimeout(1)
            link.sendall(request.encode())
            while not over.is_set():
                try:
                    text = link.recv(2**16)
                except TimeoutError:
                    continue
                if not text or text.startswith(b"HTTP/1.1 400"):
                    break
        time.sleep(1)


def _table(result: dict[str, Any]) -> str:
    times = result["training_seconds"]
    ratios = [one / other for one, other in zip(times["watched"], times["alone"], strict=True)]
    rows = {
        "from the command to the first page, s": report.spread(result["first_page_seconds"]),
        f"list of {result['runs']:,} runs, the first time, s": report.spread(
            result["first_seconds"]
        ),
        "the same again, s": report.spread(result["after_seconds"]),
        f"training with {result['pages']} pages that watch it, over one without": report.spread(
            ratios, 3
        ),
        "the server's processor time meanwhile, share of a core": report.spread(
            result["server_cores"], 3
        ),
        "what a browser loads, KB": round(result["bytes"] / 1000),
    }
    lines = [*report.heading(result), *report.columns("", "median (lowest to highest)")]
    lines += [report.line(name, value) for name, value in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
