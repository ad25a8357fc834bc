"""Images that are dropped on a page."""

import stat
import zipfile
from pathlib import Path

import pytest

from mlplab.errors import DataError
from mlplab.ui import uploads


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def test_a_zip_is_unpacked_without_what_is_no_image(tmp_path: Path) -> None:
    names = ("pets/cat/1.png", "pets/dog/1.png", "pets/.hidden/1.png", "__MACOSX/1.png", "run.sh")
    archive = packed(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    assert uploads.unpack(archive, tmp_path / "images") == 2
    assert uploads.root(tmp_path / "images") == tmp_path / "images" / "pets"


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "a/../../out.png", "..\\out.png"])
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads out"):
        uploads.target(tmp_path / "images", name)
    archive = packed(tmp_path / "a.zip", {"b.png": b"x", name: b"x"})
    with pytest.raises(DataError, match="leads out"):
        uploads.unpack(archive, tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_a_zip_bomb_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LARGEST_PICTURE", 10_000)
    archive = packed(tmp_path / "a.zip", {"a/1.png": bytes(20_000)})
    assert archive.stat().st_size < 1000
    with pytest.raises(DataError, match="unpacks to more"):
        uploads.unpack(archive, tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_links_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        uploads.unpack(tmp_path / "link.zip", tmp_path / "images")
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be unpacked"):
        uploads.unpack(tmp_path / "bad.zip", tmp_path / "images")
    with pytest.raises(DataError, match="no images"):
        uploads.unpack(packed(tmp_path / "none.zip", {"a.sh": b"x"}), tmp_path / "images")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "<b>", "x" * 65])
def test_a_set_has_a_plain_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="letters"):
        uploads.folder_of(tmp_path, name)
