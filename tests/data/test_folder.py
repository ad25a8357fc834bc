import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlplab.data import Dataset, load
from mlplab.data.images import read_image
from mlplab.data.info import describe
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data


def fill(folder: Path, count: int, grey: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        size = (20 + number, 30)
        Image.new("RGB", size, (grey, grey, number)).save(folder / f"{number:02}.png")


def read(root: Path, said: list[str] | None = None, **settings: Any) -> Dataset:
    data = Data(name="folder", path=str(root), image_size=8, **settings)
    return load(data, warn=(said if said is not None else []).append)


def refused(root: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        read(root, **settings)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    fill(tmp_path / "dogs", 10, grey=200)
    fill(tmp_path / "cats", 5, grey=100)
    return tmp_path


def test_a_share_of_each_class_is_held_out_for_testing(pets: Path) -> None:
    dataset = read(pets, test=0.2)
    assert dataset.class_names == ("cats", "dogs")
    assert np.bincount(dataset.train.labels).tolist() == [4, 8]
    assert np.bincount(dataset.test.labels).tolist() == [1, 2]
    assert dataset.train.images.shape == (12, 8, 8, 3)
    for split in (dataset.train, dataset.test):
        greys = np.where(split.labels == 0, 100, 200)
        assert (split.images[:, 0, 0, 0] == greys).all()


def test_train_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    for split, grey in (("train", 10), ("test", 20)):
        for name in ("a", "b"):
            fill(tmp_path / split / name, 2, grey)
    (tmp_path / "extra").mkdir()
    said: list[str] = []
    dataset = read(tmp_path, said)
    assert set(dataset.train.images[..., 0].ravel()) == {10}
    assert set(dataset.test.images[..., 0].ravel()) == {20}
    assert said[0] == f"not used beside the splits in {tmp_path}: extra"


def test_unreadable_files_are_named_and_counted(pets: Path) -> None:
    (pets / "cats" / "notes.txt").write_text("not an image")
    (pets / "dogs" / "03.png").write_bytes(b"")
    for _ in range(2):  # also when the data come from the cache
        said: list[str] = []
        dataset = read(pets, said)
        assert len(dataset.skipped) == 2
        assert dataset.skipped[0].endswith("cats/notes.txt: not an image, or damaged")
        assert "2 files could not be read" in said[-1]
    assert describe(dataset)["skipped"] == list(dataset.skipped)


def test_hidden_and_system_files_are_ignored(pets: Path) -> None:
    before = read(pets).data_id
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (pets / "cats" / name).write_text("")
    (pets / ".thumbnails").mkdir()
    after = read(pets)
    assert after.data_id == before
    assert not after.skipped


def test_links_in_circles_are_not_followed(pets: Path) -> None:
    before = read(pets).data_id
    (pets / "cats" / "all").symlink_to(pets)
    (pets / "cats" / "self").symlink_to(pets / "cats")
    (pets / "dogs" / "nowhere").symlink_to(pets / "gone")
    (pets / "round").symlink_to(pets / "round")
    os.mkfifo(pets / "dogs" / "pipe")
    assert read(pets).data_id == before


def test_names_that_are_no_text_can_be_shown(tmp_path: Path) -> None:
    names = [b"line\nend", b"\x1b[2Jcleared", "turned\u202egnp".encode(), b"\xff\xfe", b"x" * 250]
    for name in names:
        fill(tmp_path / os.fsdecode(name), 3)
    (tmp_path / os.fsdecode(names[0]) / os.fsdecode(b"\x1b]0;\xff.png")).write_text("damaged")
    dataset = read(tmp_path)
    assert len(set(dataset.class_names)) == len(names)
    assert len(dataset.skipped) == 1
    for text in (*dataset.class_names, *dataset.skipped):
        assert text.encode().decode().isprintable()
        assert "\u202e" not in text


def test_images_lie_at_any_depth(pets: Path) -> None:
    fill(pets / "cats" / "siamese" / "2024", 3)
    dataset = read(pets)
    assert len(dataset.train) + len(dataset.test) == 18


def test_changed_files_are_read_again(pets: Path) -> None:
    before = read(pets).data_id
    fill(pets / "cats", 1, grey=7)
    assert read(pets).data_id != before


def test_a_file_that_could_not_be_opened_is_read_when_it_can_be(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = pets / "cats" / "00.png"

    def open_file(path: Any, *args: Any, **options: Any) -> Any:
        if path == lost:
            raise OSError(errno.ESTALE, "Stale file handle")
        return opened(path, *args, **options)

    opened = Image.open
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", open_file)
        assert read(pets).skipped == ("cats/00.png: Stale file handle",)
    dataset = read(pets)
    assert not dataset.skipped
    assert len(dataset.train) + len(dataset.test) == 15


def exchange(first: Path, second: Path) -> None:
    middle = first.with_name("middle")
    first.rename(middle)
    second.rename(first)
    middle.rename(second)


@pytest.mark.parametrize("name", ["01.png", "."], ids=["files", "folders"])
def test_files_exchanged_for_others_of_the_same_size_and_time_are_read(
    tmp_path: Path, name: str
) -> None:
    for folder, grey in (("a", 10), ("b", 200)):
        for number in range(4):
            path = tmp_path / folder / f"{number:02}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (8, 8), grey + number).save(path)
            os.utime(path, (1, 1))
    assert len({path.stat().st_size for path in tmp_path.glob("?/*")}) == 1
    before = read(tmp_path).data_id
    exchange(tmp_path / "a" / name, tmp_path / "b" / name)
    assert read(tmp_path).data_id != before


def test_files_know_their_names(pets: Path) -> None:
    (pets / "cats" / "00.png").write_text("damaged")
    for _ in range(2):  # also from the cache
        dataset = read(pets)
        for split, names in ((dataset.train, "train"), (dataset.test, "test")):
            for image, index in zip(split.images, split.index, strict=True):
                path = pets / dataset.files[names][index]
                assert (read_image(path, (8, 8, 3)) == image).all()


def test_too_few_classes_are_refused(tmp_path: Path) -> None:
    assert "contains no folders" in refused(tmp_path)
    fill(tmp_path / "cats", 5)
    assert "only 'cats'" in refused(tmp_path)
    assert "there is no folder" in refused(tmp_path / "typo")


def test_empty_classes_are_refused(pets: Path) -> None:
    (pets / "birds").mkdir()
    (pets / "birds" / ".hidden").write_text("")
    assert "no images in birds" in refused(pets)


def test_a_class_of_which_nothing_can_be_read_is_refused(pets: Path) -> None:
    for path in (pets / "cats").iterdir():
        path.write_text("damaged")
    message = refused(pets)
    assert "none of the 5 files of class 'cats'" in message
    assert "cats/00.png: not an image" in message


def test_the_file_that_is_quoted_is_of_the_class_that_cannot_be_read(pets: Path) -> None:
    (pets / "cats" / "00.png").write_text("damaged")
    for path in (pets / "dogs").iterdir():
        path.write_text("damaged")
    assert "dogs/00.png: not an image" in refused(pets)


def test_different_classes_in_train_and_test_are_refused(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a", "test/c"):
        fill(tmp_path / name, 2)
    said = refused(tmp_path)
    assert said.endswith(f"only {tmp_path / 'train'} has b; only {tmp_path / 'test'} has c")


def test_classes_smaller_than_the_splits_are_refused_with_the_numbers(pets: Path) -> None:
    fill(pets / "birds", 2)
    assert "at least 3, but 'birds' has 2" in refused(pets)
    assert len(read(pets, validation="test").class_names) == 3
    (pets / "birds" / "00.png").write_text("damaged")
    assert "at least 2, but 'birds' has 1" in refused(pets, validation="test")


def test_pictures_that_are_cropped_to_less_than_half_are_named_at_every_load(pets: Path) -> None:
    Image.new("RGB", (300, 60)).save(pets / "cats" / "panorama.png")
    for _ in range(2):  # decoded, and then from the cache
        said: list[str] = []
        read(pets, said)
        (text,) = [text for text in said if "cut away" in text]
        assert "in 1 of 16 files" in text
        assert "cats/panorama.png" in text


def test_the_files_identify_a_folder_at_every_image_size(pets: Path) -> None:
    small, large = (
        load(Data(name="folder", path=str(pets), image_size=size), warn=lambda text: None)
        for size in (8, 16)
    )
    assert small.data_id != large.data_id
    assert small.source_id == large.source_id != small.data_id
    assert read(pets, test=0.4).source_id != small.source_id  # other test images
    assert large.files["test"][int(large.test.index[0])].startswith("cats/")
