"""What readers make of files that were changed at random: one plain error at worst.

No other exception, no code run, no program started, no file written elsewhere, no ten million calls
of functions, no 2 GiB more than the process has. `make torture` does the long form, and
docs/reliability.md has its figures.
"""

import contextlib
import gzip
import io
import itertools
import json
import os
import pickle
import re
import resource
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab import recipes
from mlplab.cli.app import app
from mlplab.data import load
from mlplab.data.formats import FORMATS
from mlplab.data.idx import FILES
from mlplab.data.published import CIFAR10
from mlplab.errors import MlplabError
from mlplab.experiment import export, inference
from mlplab.experiment.complete import complete
from mlplab.models import saving
from mlplab.recipes.networks.base import MOST_LAYERS
from mlplab.recipes.recipe import Data
from mlplab.runs import checkpoint, layout
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

CALLS, BYTES = 10_000_000, 2 * 2**30

# What readers stumble over: ends, extremes, brackets, paths, markup, control characters.
TOKENS = [
    *(b"", b"\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", 8 * b"\xff"),
    *(b"nan", b"inf", b"-inf", b"-1", b"0", b"1e400", b"9" * 40, b"1" * 5000, b"1e-400", b"1.5"),
    *(b"null", b"true", b'"none"', b'""', b"[]", b"{}", 2000 * b"[", 2000 * b'{"a":', b"[[", b'"'),
    *(b"../../../../etc/passwd", b"/etc/passwd", b"os:system", b"builtins:exec", b"%s%n", b"{0}"),
    *(b"<script>", b"\x1b[2J", "\u202e".encode(), b"\r\n", b"\n", b"=", b".", b"#"),
    *(b"cos\nsystem\n(S'x'\ntR.", b"r\xff\xff\xff\x7f", b"\x8c\x02os\x8c\x06system\x93"),
]
NUMBER = re.compile(rb"-?\d+(\.\d+)?(e-?\d+)?")


@dataclass(frozen=True)
class Change:
    """One change of a file: what, where (as a share of its length), how long, with what."""

    kind: str
    place: float
    length: int
    token: bytes

    def __call__(self, content: bytes) -> bytes:
        at = int(self.place * len(content))
        end = at + self.length
        if self.kind == "cut":
            return content[:at]
        if self.kind == "remove":
            return content[:at] + content[end:]
        if self.kind == "repeat":
            return content[:end] + content[at:end] * 3 + content[end:]
        if self.kind == "flip":
            return content[:at] + bytes(byte ^ 0x41 for byte in content[at:end]) + content[end:]
        if self.kind == "number":
            numbers = list(NUMBER.finditer(content))
            if numbers:
                found = numbers[int(self.place * len(numbers))]
                return content[: found.start()] + self.token + content[found.end() :]
        return content[:at] + self.token + content[end if self.kind == "overwrite" else at :]


CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["cut", "remove", "repeat", "flip", "number", "insert", "overwrite"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 60),
        st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=4,
)


class Forbidden:
    """Notes what no reader may do, as Python itself reports it, while it is switched on."""

    PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
    NETWORK = ("socket.connect", "socket.getaddrinfo", "urllib.Request")
    REMOVING = ("os.remove", "os.rename", "os.rmdir", "os.truncate", "shutil.rmtree", "os.mkdir")

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        writes = event in self.REMOVING
        if event == "open" and isinstance(arguments[0], str | bytes):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        elsewhere = writes and not _whole(event, arguments).startswith(self.allowed)
        if elsewhere or event in self.PROGRAMS + self.NETWORK:
            self.seen.append(f"{event} {arguments[:2]}")

    @contextlib.contextmanager
    def watched(self, *folders: Path) -> Iterator[None]:
        self.seen, self.allowed = [], (*map(str, folders), "/dev/null")
        try:
            yield
        finally:
            self.allowed = None
        assert self.seen == []


def _whole(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the path of what is written or removed, which may be given from an open folder."""
    path, folder = os.fsdecode(arguments[0]), arguments[-1]
    if event in ("os.remove", "os.rmdir", "os.mkdir") and folder >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)  # noqa: PTH115, PTH118
    return os.path.abspath(path)  # noqa: PTH100


@pytest.fixture(scope="session")
def forbidden() -> Forbidden:
    return Forbidden()


def png(value: int, format: str = "PNG", side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, 0, 0)).save(file, format)
    return file.getvalue()


def parquet(count: int) -> bytes:
    file = io.BytesIO()
    cells = [{"bytes": png(number), "path": None} for number in range(count)]
    table = pa.table({"img": cells, "label": [number % 10 for number in range(count)]})
    names = {"info": {"features": {"label": {"names": CIFAR10.class_names}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), file)
    return file.getvalue()


def batch(protocol: int) -> bytes:
    pixels = np.zeros((10, 3072), np.uint8)
    return pickle.dumps({b"data": pixels, b"labels": list(range(10))}, protocol)


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for name in (*CIFAR10.train_files, *CIFAR10.test_files):
            member = tarfile.TarInfo(f"{CIFAR10.folder}/{name}")
            member.size = len(batch(2))
            tar.addfile(member, io.BytesIO(batch(2)))
    return file.getvalue()


def pictures() -> list[bytes]:
    result = []
    for format in FORMATS:
        with contextlib.suppress(KeyError, OSError, ValueError):  # this build cannot write it
            result.append(png(200, format, 40))
    return result


EVERYTHING = """
seed = 3
[data]
name = "digits"
[model]
hidden = [64, 32]
dropout = 0.25
normalisation = "batch"
[optimizer]
name = "sgd"
learning_rate = 0.05
momentum = 0.9
[schedule]
name = "WarmupCosine"
warmup_epochs = 2
[augment]
shift = 1
mixup = 0.2
[average]
momentum = 0.9
[callbacks.early_stopping]
name = "EarlyStopping"
patience = 3
[callbacks.log]
name = "CSVLogger"
filename = "log.csv"
"""


class Stop(NoProgress):
    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
        if epoch == 2:
            raise RuntimeError("stopped on purpose")


@pytest.fixture(scope="session")
def whole_run(finished: Run) -> Path:
    return finished.folder


@pytest.fixture(scope="session")
def exported(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    return export.export(finished, tmp_path_factory.mktemp("exported") / "network")


@pytest.fixture(scope="session")
def saved_training(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("stopped")
    recipe = mlplab.recipe("quickstart", model={"hidden": [4]}, training={"epochs": 3})
    with pytest.raises(RuntimeError):
        train(recipe, folder, "run", Stop(), checkpoint_seconds=0)
    return (folder / "run" / "checkpoint" / "training.npz").read_bytes()


def command(*words: str) -> None:
    """Run a command; what it raises, it raises here."""
    result = CliRunner().invoke(app, ["--debug", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    assert not re.search(r"\x1b|\u202e", re.sub(r"\x1b\[[\d;]*m", "", result.output))


Reader = Callable[[bytes, Path], None]


def read_recipe(content: bytes, folder: Path) -> None:
    (folder / "mine.toml").write_bytes(content)
    complete(recipes.load(str(folder / "mine.toml")))


def read_overrides(content: bytes, folder: Path) -> None:
    words = content.decode(errors="replace").split(" ")
    complete(recipes.load("quickstart", words))


def read_data(name: str) -> Reader:
    def read(content: bytes, folder: Path) -> None:
        path = folder / "data" / name
        path.parent.mkdir(parents=True)
        if name.endswith(".parquet"):
            (path.parent / "test-00000-of-00001.parquet").write_bytes(parquet(10))
        elif name == CIFAR10.test_files[0]:
            for other in CIFAR10.train_files:
                (path.parent / other).write_bytes(batch(2))
        path.write_bytes(content)
        load(Data(name="cifar10"), folder / "data")

    return read


def idx(array: np.ndarray[Any, Any]) -> bytes:
    header = struct.pack(f">{1 + array.ndim}i", 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


def idx_files() -> dict[str, bytes]:
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
    return dict(zip(FILES, map(idx, (images, labels, images, labels)), strict=True))


def read_idx(name: str) -> Reader:
    def read(content: bytes, folder: Path) -> None:
        (folder / "data" / "mnist").mkdir(parents=True)
        for other, whole in idx_files().items():
            (folder / "data" / "mnist" / other).write_bytes(gzip.compress(whole))
        place = folder / "data" / "mnist" / name
        place.with_suffix(".gz").unlink(missing_ok=True)
        place.write_bytes(content)
        load(Data(name="mnist"), folder / "data")

    return read


def read_picture(content: bytes, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(4):
            (folder / "pictures" / name / f"{number}.png").write_bytes(png(9, side=8))
    (folder / "pictures" / "a" / "changed").write_bytes(content)
    load(Data(name="folder", path=str(folder / "pictures"), image_size=8))


def own_arrays() -> bytes:
    file = io.BytesIO()
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    np.savez(file, x_train=images, y_train=labels, x_test=images / 255, y_test=np.eye(2)[labels])
    return file.getvalue()


def own_list() -> bytes:
    rows = (f"pictures/{number}.png,{'ab'[number % 2]},p{number}" for number in range(8))
    return "\n".join(("file_name,label,patient", *rows)).encode()


def read_own(name: str) -> Reader:
    def read(content: bytes, folder: Path) -> None:
        (folder / "pictures").mkdir()
        for number in range(8):
            (folder / "pictures" / f"{number}.png").write_bytes(png(9, side=8))
        (folder / name).write_bytes(content)
        load(Data(name="folder", path=str(folder / name), image_size=8), warn=lambda text: None)

    return read


def read_run(name: str, run: Path) -> Reader:
    def read(content: bytes, folder: Path) -> None:
        copy = folder / "runs" / "run"
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("tensorboard"))
        (copy / name).write_bytes(content)
        words = (["runs"], ["runs", "show", "run"], ["report", "run"], ["runs", "check"])
        command(*words[len(content) % len(words)], "--runs-dir", str(copy.parent))
        mlplab.load_run("run", copy.parent).predictions("test")

    return read


def read_checkpoint(content: bytes, folder: Path) -> None:
    (folder / "training.npz").write_bytes(content)
    checkpoint.read(folder / "training.npz")


def read_network_file(content: bytes, folder: Path) -> None:
    (folder / "model.keras").write_bytes(content)
    saving.load(folder / "model.keras", MOST_LAYERS)


def read_network(parts: dict[str, bytes]) -> Reader:
    """Change the description within a network's file, the rest left as it was."""

    def read(content: bytes, folder: Path) -> None:
        with zipfile.ZipFile(folder / "model.keras", "w") as new:
            for name, part in (parts | {"config.json": content}).items():
                new.writestr(name, part)
        saving.load(folder / "model.keras", MOST_LAYERS)

    return read


def read_export(name: str, exported: Path) -> Reader:
    def read(content: bytes, folder: Path) -> None:
        copy = folder / "exported"
        shutil.copytree(exported, copy)
        (copy / name).write_bytes(content)
        (folder / "picture.png").write_bytes(png(9, side=8))
        inference.predict_exported(copy, [folder / "picture.png"])

    return read


READERS = (
    *("recipe", "overrides", "pickle", "archive", "parquet", "idx", "packed idx", "picture"),
    *("own.npz", "own.csv", "own.parquet"),
    *("record", "metrics", "run recipe", "predictions", "checkpoint", "network", "network file"),
    *("export", "exported network"),
)


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Callable[[str], tuple[list[bytes], Reader]]:
    """Return a function from a reader's name to whole files, and what reads a changed one."""

    def of(name: str) -> tuple[list[bytes], Reader]:
        if name == "recipe":
            shipped = [recipes.text(name).encode() for name in recipes.names()]
            return [EVERYTHING.encode(), *shipped], read_recipe
        if name == "overrides":
            given = [b"model.dropout=0.4 optimizer.name=sgd optimizer.learning_rate=0.05",
                     b"callbacks.a.name=EarlyStopping callbacks.a.patience=3 average=none",
                     b"model.hidden=[64,32] schedule.name=WarmupCosine seed=4"]  # fmt: skip
            return given, read_overrides
        if name == "pickle":
            return [batch(protocol) for protocol in (0, 2, 3, 4, 5)], read_data("test_batch")
        if name == "archive":
            return [archive()], read_data(CIFAR10.archive)
        if name == "parquet":
            return [parquet(20)], read_data("train-00000-of-00001.parquet")
        if name.startswith("own."):
            whole = {"npz": own_arrays(), "csv": own_list(), "parquet": parquet(20)}
            return [whole[name.removeprefix("own.")]], read_own(name)
        if name == "idx":
            return [idx_files()[FILES[0]]], read_idx(FILES[0].removesuffix(".gz"))
        if name == "packed idx":
            return [gzip.compress(idx_files()[FILES[0]])], read_idx(FILES[0])
        if name == "picture":
            return pictures(), read_picture
        if name == "checkpoint":
            return [request.getfixturevalue("saved_training")], read_checkpoint
        if name.startswith("export"):
            folder: Path = request.getfixturevalue("exported")
            file_name = layout.NETWORK_FACTS if name == "export" else layout.NETWORK
            return [(folder / file_name).read_bytes()], read_export(file_name, folder)
        run: Path = request.getfixturevalue("whole_run")
        if name == "network":
            with zipfile.ZipFile(run / "model.keras") as file:
                parts = {part: file.read(part) for part in file.namelist()}
            return [parts["config.json"]], read_network(parts)
        if name == "network file":
            return [(run / "model.keras").read_bytes()], read_network_file
        path = {"record": "record.json", "metrics": "metrics.jsonl", "run recipe": "recipe.toml"}
        file_name = path.get(name, "predictions-test.npz")
        return [(run / file_name).read_bytes()], read_run(file_name, run)

    return of


class Calls:
    """Counts the calls of functions in a block."""

    count = 0

    def __enter__(self) -> None:
        self.count = 0
        sys.setprofile(self.hear)

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def hear(self, frame: FrameType, event: str, argument: object) -> None:
        self.count += event.endswith("call")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def fuzz(
    files: list[bytes], read: Reader, count: int, forbidden: Forbidden, base: Path, cache: Path
) -> dict[str, int]:
    """Let a reader read so many changed files; return how many it refused, and the most calls."""
    counts = {"read": 0, "refused": 0, "calls": 0}
    numbers, calls = itertools.count(), Calls()
    limits = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    @limits
    @given(content=st.sampled_from(files), changes=CHANGES)
    def attempt(content: bytes, changes: list[Change]) -> None:
        for change in changes:
            content = change(content)
        folder = base / str(next(numbers))
        folder.mkdir()
        try:
            with forbidden.watched(base, cache), calls:
                read(content, folder)
            counts["read"] += 1
        except MlplabError as error:
            assert str(error)
            counts["refused"] += 1
        counts["calls"] = max(counts["calls"], calls.count)
        assert calls.count < CALLS
        shutil.rmtree(folder)

    before, held = peak(), resident()  # of the tests that this process ran before
    attempt()
    assert peak() <= max(before, held + BYTES)
    return counts


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLPLAB_CACHE_DIR", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("MLPLAB_DATA_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", READERS)
def test_changed_files_are_read_or_refused(
    name: str, seeds: Any, forbidden: Forbidden, tmp_path: Path, cache: Path
) -> None:
    files, read = seeds(name)
    fuzz(files, read, 12, forbidden, tmp_path, cache)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_changed_files_are_read_or_refused(
    name: str, seeds: Any, forbidden: Forbidden, tmp_path: Path, cache: Path
) -> None:
    files, read = seeds(name)
    found = fuzz(files, read, 800, forbidden, tmp_path, cache)
    print(f"\n{name}: {found}, at most {peak() / 1e6:.0f} MB")
