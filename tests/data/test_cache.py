import resource
import stat
from pathlib import Path

import numpy as np
import pytest

from mlplab.data import cache
from mlplab.data.cache import Source, content_fingerprint, decoded
from mlplab.data.dataset import Dataset, assemble, whole


def small() -> Dataset:
    split = whole(np.arange(60_000, dtype=np.uint8).reshape(-1, 10, 10, 3), np.zeros(200, np.int32))
    return assemble("made", ("a", "b ü"), split, split.take(np.array([3, 1])), ("x.png: torn",))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Reader:
    """A source that counts how often it is decoded and keeps what it warns of."""

    def __init__(self, fingerprint: str = "same") -> None:
        self.times = 0
        self.said: list[str] = []
        self.source = Source(lambda: fingerprint, self.read)

    def read(self) -> Dataset:
        self.times += 1
        return small()

    def __call__(self) -> Dataset:
        return decoded(self.source, self.said.append)


def test_the_second_start_does_not_decode(home: Path) -> None:
    reader = Reader()
    first, second = reader(), reader()
    assert reader.times == 1
    for split in ("train", "test"):
        for part, values in vars(getattr(first, split)).items():
            kept = getattr(getattr(second, split), part)
            assert (kept == values).all()
            assert kept.dtype == values.dtype
    assert (second.name, second.class_names) == (first.name, first.class_names)
    assert (second.data_id, second.skipped) == (first.data_id, first.skipped)


def test_another_fingerprint_decodes(home: Path) -> None:
    Reader()()
    other = Reader("other")
    other()
    assert other.times == 1


def test_fingerprints_follow_content_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    first = content_fingerprint([path], "cifar10")
    assert content_fingerprint([path], "cifar100") != first
    path.write_bytes(b"2")
    assert content_fingerprint([path], "cifar10") != first


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_file_is_replaced_silently(home: Path, damage: str) -> None:
    reader = Reader()
    reader()
    (path,) = (home / "decoded").iterdir()
    whole_file = path.read_bytes()
    middle = len(whole_file) // 2
    flipped = bytes([whole_file[middle] ^ 1])
    path.write_bytes(
        {
            "truncated": whole_file[:middle],
            "flipped": whole_file[:middle] + flipped + whole_file[middle + 1 :],
            "emptied": b"",
        }[damage]
    )
    assert (reader().train.images == small().train.images).all()
    assert (reader.times, reader.said) == (2, [])
    assert path.stat().st_size == len(whole_file)


def test_a_cache_that_cannot_be_made_is_a_warning(home: Path) -> None:
    home.write_text("a file where the folder should be")
    reader = Reader()
    assert len(reader().train) == 200
    assert "were not cached" in reader.said[0]


def test_a_full_disk_is_a_warning_and_leaves_nothing(home: Path) -> None:
    reader = Reader()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert len(reader().train) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "no space left" in reader.said[0]
    assert list((home / "decoded").iterdir()) == []


def test_the_folder_is_the_user_s_own(home: Path) -> None:
    Reader()()
    assert stat.S_IMODE((home / "decoded").stat().st_mode) == 0o700


def test_what_was_unused_for_longest_goes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    oldest, middle = Reader("1"), Reader("2")
    oldest()
    middle()
    oldest()  # used again
    Reader("3")()
    oldest()
    middle()
    assert (oldest.times, middle.times) == (1, 2)
