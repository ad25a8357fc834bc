"""A Ray cluster that executes a study's runs: Ray schedules them, and repeats what nodes lose."""

import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlplab.errors import RunError, StorageError, UserError
from mlplab.runs import layout, ledger, store
from mlplab.runs.record import ENDED
from mlplab.study.job import STOPPING, RowsOnly, TrialJob, carry_out
from mlplab.study.pool import ATTEMPTS, JOBS_EACH, Listener, Outcome
from mlplab.text import byte_size

try:
    import ray
    from ray.exceptions import RayError
except ImportError:
    raise UserError("--engine ray needs Ray: pip install 'mlplab[ray]'") from None

RETRIES = 3  # by Ray, of a task whose node or worker was lost
KNOCK_S = 5.0  # wait for an answer from an address; Ray itself waits for minutes


class Cluster:
    """Tasks on a cluster: each trains in a folder of its node, and sends back the results."""

    def __init__(self, needed: int, folder: Path | None) -> None:
        self.folder = folder
        options = {"num_cpus": 1, "memory": needed, "max_retries": RETRIES, "max_calls": JOBS_EACH}
        self.task = ray.remote(**options)(_carry_out)

    def run(self, jobs: Sequence[TrialJob], listener: Listener) -> None:
        """Execute jobs; each that fails is tried once more. Returns when all have ended."""
        running: dict[Any, tuple[TrialJob, int]] = {}
        for job in jobs:
            if job.asks:
                raise UserError(
                    "a pruner needs the result of each epoch, which Ray tasks do not report: use"
                    " design.pruner=none, or --engine local"
                )
            listener.on_begin(job)
            running[self._submit(job)] = job, 1
        while running:
            (ended,), _ = ray.wait(list(running), num_returns=1)
            job, attempt = running.pop(ended)
            reason = _taken_over(ended, job)
            if reason is not None and attempt < ATTEMPTS:
                running[self._submit(job)] = job, attempt + 1
            else:
                listener.on_end(job, Outcome(reason, attempt))

    def _submit(self, job: TrialJob) -> Any:
        there = _files(Path(job.runs_dir), job.names)
        return self.task.remote(job.to_json(), there, self.folder and str(self.folder))


@contextmanager
def cluster(
    address: str | None,
    workers: int,
    needed: int,
    note: Callable[[str], None],
    trust: bool = False,
) -> Iterator[Cluster]:
    """Yield a cluster, and leave it with the block; one that was started here is stopped.

    Args:
        address: of the cluster, as ``host:port``, or ``auto`` for the one that this machine is a
            node of; ``None`` starts one on this machine, on loopback.
        workers: cores of the one that is started.
        needed: bytes of memory that a task takes.
        note: called with what the user should know.
        trust: let Ray's processes import the user's own code from the current folder.

    Raises:
        UserError: if there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        options |= {
            "num_cpus": workers,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    with tempfile.TemporaryDirectory(prefix="mlplab-") as empty:
        _connect(address, options, Path.cwd() if trust else Path(empty))
        try:
            resources = ray.cluster_resources()
            if resources.get("memory", 0) < needed:
                raise UserError(
                    f"a run needs {byte_size(needed)} of memory, more than this cluster has; use a"
                    " smaller network or batch"
                )
            cores = int(resources.get("CPU", 0))
            note(f"Ray: {len(ray.nodes())} nodes with {cores} cores")
            yield Cluster(needed, Path.cwd() if address is None else None)
        finally:
            ray.shutdown()


def _connect(address: str | None, options: dict[str, Any], folder: Path) -> None:
    """Connect to a cluster, or start one, whose processes can import from a folder.

    Ray lets them import from the folder that is current here.
    """
    try:
        with warnings.catch_warnings(), chdir(folder):
            # JAX, loaded here, warns about the processes that Ray forks; these do not use it.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(address=address or "local", **options)
    except (ConnectionError, RayError, ValueError, RuntimeError) as error:
        line = str(error).strip().partition("\n")[0]
        raise UserError(f"there is no Ray cluster at {address or 'this machine'}: {line}") from None


def knock(address: str | None) -> None:
    """Raise a :class:`UserError` if nothing listens at an address, or Ray could not use it."""
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"--address {address}: a Ray cluster's address is HOST:PORT, as `ray start --head`"
            " prints it, or auto for the cluster that this machine is a node of"
        )
    if host in ("localhost", "::1", "[::1]") or host.startswith("127."):
        # Ray replaces such an address by the machine's own, where a loopback cluster is not found.
        raise UserError(f"--address {address}: use auto for a cluster on this machine")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except (OSError, UnicodeError) as error:
        raise UserError(f"there is no Ray cluster at {address}: {error}") from None


def _carry_out(
    job: dict[str, Any], there: dict[str, dict[str, bytes]], current: str | None = None
) -> dict[str, Any]:
    """Do a job in a folder of this node; return its files, by run and path, and what went wrong.

    Args:
        job: as JSON-able tables.
        there: files of runs that have already ended.
        current: the folder that relative paths in the job start from, if not where Ray is.
    """
    if current is not None:
        os.chdir(current)
    given = TrialJob(**job)
    with tempfile.TemporaryDirectory(prefix="mlplab-") as folder:
        own = replace(given, runs_dir=folder)
        _write(Path(folder), there)
        reason, stops = None, False
        try:
            carry_out(own, RowsOnly(lambda row: None))
        except Exception as error:
            reason, stops = str(error) or type(error).__name__, isinstance(error, STOPPING)
        return {"reason": reason, "stops": stops, "files": _files(Path(folder), own.names)}


def _files(runs_dir: Path, names: Sequence[str]) -> dict[str, dict[str, bytes]]:
    """Return the files of those runs that have ended."""
    found = {}
    for name in names:
        try:
            ended = store.read_record(runs_dir / name).status in ENDED
        except RunError:
            continue
        if ended:
            folder = runs_dir / name
            paths = [*store.contents(folder), layout.RECORD]
            found[name] = {path: (folder / path).read_bytes() for path in paths}
    return found


def _write(runs_dir: Path, runs: dict[str, dict[str, bytes]]) -> None:
    """Write runs' folders, each whole or not at all."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    for name, contents in runs.items():
        aside = runs_dir / f".{name}.arriving"
        shutil.rmtree(aside, ignore_errors=True)
        for path, content in contents.items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_bytes(content)
        shutil.rmtree(runs_dir / name, ignore_errors=True)
        aside.rename(runs_dir / name)


def _taken_over(ended: Any, job: TrialJob) -> str | None:
    """Store what a task sent back, and return why it failed, or ``None``."""
    try:
        answer = ray.get(ended)
    except RayError as error:
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    runs_dir = Path(job.runs_dir)
    new = [name for name in answer["files"] if not (runs_dir / name).exists()]
    _write(runs_dir, answer["files"])
    for name in new:
        record = store.read_record(runs_dir / name)
        if record.test_openings:  # so far counted only on the node
            ledger.open_test(runs_dir, record, record.test_openings)
    reason: str | None = answer["reason"]
    if answer["stops"]:
        raise StorageError(f"{job.key}: {reason}. Then repeat the command to continue")
    return reason
