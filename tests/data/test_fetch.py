import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from filelock import FileLock

from mlplab.data import DATASETS, idx
from mlplab.data.dataset import Download
from mlplab.data.fetch import download, fetch
from mlplab.errors import DataError, StorageError
from mlplab.recipes.recipe import DataName

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every address; can hang up half way, and know no ranges."""

    hang_up_after = len(CONTENT)
    knows_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/archive"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/missing":
            return self.send_error(404)
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.knows_ranges else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.server.hang_up_after])
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_whole_download_is_checked_and_reported(server: Server, tmp_path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    path = download(
        server.url, tmp_path / "new" / "a.tar.gz", MD5, lambda *facts: reported.append(facts)
    )
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert reported[0] == (0, len(CONTENT))
    assert reported[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_and_right_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        download(server.url, tmp_path / "a", MD5)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_lost_connection_is_resumed(server: Server, tmp_path: Path, knows_ranges: bool) -> None:
    server.hang_up_after, server.knows_ranges = 300_000, knows_ranges
    with pytest.raises(DataError, match="lost at 300,000 of 1,000,000 bytes"):
        download(server.url, tmp_path / "a", MD5)
    assert not (tmp_path / "a").exists()
    server.hang_up_after = len(CONTENT)
    assert download(server.url, tmp_path / "a", MD5).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_a_killed_download_is_resumed(server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 400_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(server.url, tmp_path / "a", MD5, interrupt)
    size = (tmp_path / "a.part").stat().st_size
    assert size > 400_000
    assert download(server.url, tmp_path / "a", MD5).read_bytes() == CONTENT
    assert server.ranges[1] == f"bytes={size}-"


def test_a_part_that_is_whole_already_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "a", MD5).read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"", b"of another file", CONTENT + b"longer"])
def test_a_wrong_checksum_keeps_nothing(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-python.tar.gz.part").write_bytes(part)
    base_url = server.url.removesuffix("/archive")
    with pytest.raises(DataError, match=r"its MD5 is .*, not c58f30108f718f92721af3b95e74349a"):
        fetch("cifar10", tmp_path, base_url=base_url)
    assert not list((tmp_path / "cifar10").glob("*.gz*[!k]"))


def test_a_server_that_is_away_or_lacks_the_file_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing cannot be fetched: 404.*\n.*put a into"):
        download(server.url.replace("archive", "missing"), tmp_path / "a", MD5)
    with pytest.raises(DataError, match=r"cannot be fetched: .*refused"):
        download("http://127.0.0.1:1/a", tmp_path / "a", MD5)
    with pytest.raises(DataError, match="begins with http"):
        download("file:///etc/hostname", tmp_path / "a", MD5)


def test_two_processes_do_not_write_the_same_part(server: Server, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "a.part.lock"),
        pytest.raises(DataError, match="another process"),
    ):
        download(server.url, tmp_path / "a", MD5)


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        download(server.url, tmp_path / "file" / "a", MD5)


def test_only_published_data_sets_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'cifra10' .*did you mean 'cifar10'"):
        fetch("cifra10", tmp_path)


def test_all_files_of_a_data_set_are_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Download("", dict.fromkeys(idx.FILES, MD5))
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], download=files))
    base = server.url.removesuffix("archive")
    assert fetch("mnist", tmp_path, base_url=base) == tmp_path / "mnist"
    assert sorted(p.name for p in (tmp_path / "mnist").iterdir()) == sorted(idx.FILES)


def test_every_data_set_that_a_recipe_can_name_has_its_function() -> None:
    assert set(DATASETS) == set(get_args(DataName))
