"""Images that are dropped on a page."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from mlplab.errors import DataError
from mlplab.ui import uploads
from mlplab.ui.sets import images_there


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
    torn = packed(tmp_path / "torn.zip", {"a/1.png": bytes(range(256)) * 40})
    content = bytearray(torn.read_bytes())
    content[45:60] = bytes(15)
    torn.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        uploads.unpack(torn, tmp_path / "images")
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "<b>", "x" * 65])
def test_a_set_has_a_plain_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="letters"):
        uploads.begin(tmp_path, name)
    with pytest.raises(DataError, match="not announced"):
        uploads.begun(tmp_path, name)


def test_a_set_is_hidden_until_it_is_whole_and_never_joins_another(tmp_path: Path) -> None:
    (tmp_path / "images" / "pets").mkdir(parents=True)
    assert uploads.begin(tmp_path, "pets") == "pets-2"
    assert uploads.begin(tmp_path, "pets") == "pets-3"
    assert [one["title"] for one in images_there(tmp_path, None) if "path" in one["data"]] == [
        "pets"
    ]
    for kind in ("cat", "dog"):
        (uploads.begun(tmp_path, "pets-2") / kind).mkdir()
    assert uploads.end(tmp_path, "pets-2") == "pets-2"
    assert (tmp_path / "images" / "pets-2" / "cat").exists()
    (uploads.begun(tmp_path, "pets-3") / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="at least two subfolders"):
        uploads.end(tmp_path, "pets-3")
    uploads.remove(tmp_path, "pets-2")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["pets"]
    for name in ("pets-2", "..", "a/b"):
        with pytest.raises(DataError, match="no images are called"):
            uploads.remove(tmp_path, name)


def test_a_set_has_bounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    bounds = uploads.Bounds()
    bounds.count(tmp_path)
    bounds.count(tmp_path)
    bounds.add(tmp_path, 100)
    assert bounds.left(tmp_path) == uploads.LARGEST_SET - 100
    with pytest.raises(DataError, match="more than 2 files"):
        bounds.count(tmp_path)


def test_uploads_left_unfinished_for_a_day_are_removed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        uploads.begin(tmp_path, name)
    os.utime(uploads.begun(tmp_path, "old"), (0, 0))
    uploads.tidy(tmp_path)
    assert uploads.begun(tmp_path, "new").is_dir()
    with pytest.raises(DataError):
        uploads.begun(tmp_path, "old")
