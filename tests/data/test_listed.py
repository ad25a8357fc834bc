"""The user's own images, listed in a CSV file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlplab.data import Dataset, load, split
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

Row = tuple[str, ...]


def read(path: Path, said: list[str] | None = None, **settings: Any) -> Dataset:
    data = Data.model_validate({"name": "folder", "path": str(path), "image_size": 8, **settings})
    return load(data, warn=(said if said is not None else []).append)


def refused(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        read(path, **settings)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures of cats and twelve of dogs, without a list."""
    (tmp_path / "photos" / "all").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(12):
            pixels = rng.integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "all" / f"{name}{number:02}.png")
    return tmp_path / "photos"


def rows(photos: Path, *others: str) -> list[Row]:
    """Return file and label of each picture."""
    found = sorted(photos.rglob("*.png"))
    return [(path.relative_to(photos).as_posix(), path.name[:3], *others) for path in found]


def write(
    photos: Path, header: str, table: Sequence[Row], encoding: str = "utf-8", by: str = ","
) -> Path:
    text = "".join(f"{by.join(row)}\r\n" for row in [tuple(header.split(",")), *table])
    (photos / "metadata.csv").write_bytes(text.encode(encoding))
    return photos / "metadata.csv"


def test_a_list_says_files_and_labels(photos: Path) -> None:
    path = write(photos, "file_name,label", rows(photos))
    said: list[str] = []
    dataset = read(photos, said)
    assert dataset.class_names == ("cat", "dog")
    assert np.bincount(dataset.train.labels).tolist() == [10, 10]
    names = [dataset.files["train"][index] for index in dataset.train.index]
    assert [name[4:7] for name in names] == ["cat"] * 10 + ["dog"] * 10
    assert said[-1].startswith(f"{path} has 20 images for training and validation, 4 images for")
    assert said[-1].endswith("(columns: file in 'file_name', label in 'label')")
    assert read(path).data_id == dataset.data_id


def test_a_list_of_class_folders_gives_the_same_data(photos: Path) -> None:
    for path in sorted((photos / "all").iterdir()):
        (photos / path.name[:3]).mkdir(exist_ok=True)
        path.rename(photos / path.name[:3] / path.name)
    (photos / "all").rmdir()
    before = read(photos)
    write(photos, "file_name,label", rows(photos)[::-1])
    listed = read(photos)
    assert (listed.data_id, listed.source_id) == (before.data_id, before.source_id)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("by", [",", ";", "\t"])
def test_encodings_and_delimiters_of_other_programs_are_read(
    photos: Path, encoding: str, by: str
) -> None:
    table = [(name, "käse" if label == "cat" else label) for name, label in rows(photos)]
    said: list[str] = []
    dataset = read(write(photos, "Image Path,Class", table, encoding, by), said)
    assert dataset.class_names == ("dog", "käse")
    assert ("read as Windows-1252" in said[0]) == (encoding == "cp1252")


def test_splits_are_those_of_the_list(photos: Path) -> None:
    roles = ["Train"] * 6 + ["valid"] * 2 + ["test"] * 4
    table = [(*row, roles[number % 12]) for number, row in enumerate(rows(photos))]
    said: list[str] = []
    dataset = read(write(photos, "file,target,subset", table), said)
    parts = split(dataset, 0.3, seed=0)
    assert [len(part) for part in vars(parts).values()] == [12, 4, 8]
    assert "4 images for validation" in said[-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_images_of_a_group_stay_on_one_side(photos: Path, seed: int) -> None:
    table = [(name, label, str(int(name[-6:-4]) // 2)) for name, label in rows(photos)]
    dataset = read(write(photos, "file_name,label,Patient ID", table))
    parts = split(dataset, 0.25, seed)
    assert dataset.groups is not None
    sides = [
        {table[index][2] for index in part.index}
        for part in (parts.train, parts.validation, parts.test)
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6
    assert all(len(set(part.labels)) == 2 for part in vars(parts).values())
    without = read(write(photos, "file_name,label", rows(photos)))
    assert without.data_id != dataset.data_id
    assert without.source_id != dataset.source_id


def test_images_without_a_group_go_by_themselves(photos: Path) -> None:
    table = [(*row, "") for row in rows(photos)]
    parts = split(read(write(photos, "file_name,label,group", table)), 0.2, seed=0)
    assert [len(part) for part in vars(parts).values()] == [16, 4, 4]


def test_what_is_not_listed_or_listed_twice_is_named(photos: Path) -> None:
    table = rows(photos)
    said: list[str] = []
    dataset = read(write(photos, "file_name,label", [*table[1:], table[1]]), said)
    assert len(dataset.train) + len(dataset.test) == 23
    assert "names the same file again in 1 row" in said[0]
    assert "1 image, all/cat00.png" in said[1]


@pytest.mark.parametrize(
    ("header", "change", "words"),
    [
        ("name,label", {}, "no column for the file: its columns are name, label"),
        ("file_name,kind", {}, "no column for the label"),
        ("file,path", {}, "the file may be in 'file' and 'path'"),
        (
            "file_name,label",
            {0: ("all/gone.png", "cat")},
            "1 file not found beside it: all/gone.png",
        ),
        ("file_name,label", {0: ("../cat.png", "cat")}, "not inside its folder"),
        ("file_name,label", {0: ("/etc/hosts", "cat")}, "not inside its folder"),
        ("file_name,label", {0: ("C:\\cat.png", "cat")}, "not inside its folder"),
        ("file_name,label", {0: ("link/x.png", "cat")}, "not inside its folder"),
        ("file_name,label", {9: ("all/link.png", "cat")}, "not inside its folder"),
        ("file_name,label", {1: ("all/cat01.png", "")}, "no label in 1 row: 3"),
        ("file_name,label", {1: ("all/cat00.png", "dog")}, "is listed twice"),
        ("file_name,label", {1: ("all/cat01.png",)}, "row 3 has 1 cell, but there are 2 columns"),
        ("file_name,label,split", {1: ("all/cat01.png", "cat", "fold1")}, "'fold1' is no split"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(
    photos: Path, header: str, change: dict[int, Row], words: str
) -> None:
    table = rows(photos, *["train"] * (header.count(",") - 1))
    (photos.parent / "x.png").write_bytes(b"x")
    (photos / "link").symlink_to(photos.parent)
    (photos / "all" / "link.png").symlink_to(photos.parent / "x.png")
    for number, row in change.items():
        table[number] = row
    assert words in refused(write(photos, header, table))


def test_each_split_s_folder_may_have_a_list(photos: Path) -> None:
    roles = ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    for path in sorted((photos / "all").iterdir()):
        role = photos / roles[int(path.stem[3:])]
        role.mkdir(exist_ok=True)
        path.rename(role / path.name)
    (photos / "all").rmdir()
    for name in set(roles):
        write(photos / name, "file_name,label", rows(photos / name))
    said: list[str] = []
    dataset = read(photos, said)
    assert [len(part) for part in vars(split(dataset, 0.3, seed=0)).values()] == [16, 4, 4]
    assert said[0].startswith(f"{photos} has 16 images for training, 4 images for validation")
    assert dataset.image_name("test", 0) == "test/cat10.png"
    write(photos / "test", "file_name,label,group", rows(photos / "test", "p1"))
    grouped = read(photos).groups
    assert grouped is not None
    assert len(set(grouped.tolist())) == 20


def test_splits_without_training_or_with_shared_groups_are_refused(photos: Path) -> None:
    table = [(*row, "test") for row in rows(photos)]
    assert "no row is of the split train" in refused(write(photos, "file_name,label,split", table))
    mixed = [(*row, ("train", "test")[n % 2], "p1") for n, row in enumerate(rows(photos))]
    path = write(photos, "file_name,label,split,group", mixed)
    assert "group p1 has images in train and in test" in refused(path)


def test_lists_that_are_none_are_refused(photos: Path) -> None:
    path = photos / "metadata.csv"
    for content, words in ((b"", "is empty"), (b"file_name,label\n", "is empty")):
        path.write_bytes(content)
        assert words in refused(path)
    path.write_bytes("file_name,label\n".encode("utf-16-le"))
    assert "save it as UTF-8" in refused(path)
    path.write_bytes(b"file_name,label\n\x81\x8d")
    assert "save it as UTF-8" in refused(path)


def test_too_few_groups_are_refused_with_their_number(photos: Path) -> None:
    table = [(*row, row[1]) for row in rows(photos)]
    assert "'cat' has 1" in refused(write(photos, "file_name,label,group", table))


@pytest.mark.parametrize("content", ["name,accuracy\na,1\n", "", "file_name,text\na.png,hello\n"])
def test_a_table_that_lists_no_labels_leaves_class_folders_as_they_are(
    photos: Path, content: str
) -> None:
    for path in sorted((photos / "all").iterdir()):
        (photos / path.name[:3]).mkdir(exist_ok=True)
        path.rename(photos / path.name[:3] / path.name)
    (photos / "all").rmdir()
    before = read(photos).data_id
    (photos / "metadata.csv").write_text(content)
    (photos / "results.csv").write_text("file_name,label\nx.png,cat\n")
    said: list[str] = []
    assert read(photos, said).data_id == before
    assert said[0].startswith("not used: ")
    assert "metadata.csv" in said[0]


def test_only_the_wanted_classes_have_to_be_in_every_split(photos: Path) -> None:
    roles = {"cat": "train", "dog": "train"}
    table = [(*row, roles[row[1]] if n % 3 else "test") for n, row in enumerate(rows(photos))]
    table[0] = (table[0][0], "bird", "train")
    path = write(photos, "file_name,label,split", table)
    assert "the test split has no images of class bird" in refused(path)
    assert read(path, classes=["cat", "dog"]).class_names == ("cat", "dog")
