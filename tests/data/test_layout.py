from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlplab.data import Dataset, load, split
from mlplab.data.layout import split_name
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data


def fill(folder: Path, count: int, grey: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("L", (8, 8), grey + number).save(folder / f"{number:02}.png")


def toy(root: Path, **splits: int) -> None:
    """Write cats and dogs into each of these folders, named with "__" for "/"."""
    for place, (name, count) in enumerate(splits.items()):
        for offset, label in enumerate(("cat", "dog")):
            fill(root / name.replace("__", "/") / label, count, 80 * place + 40 * offset)


def read(root: Path, said: list[str] | None = None, **settings: Any) -> Dataset:
    data = Data.model_validate({"name": "folder", "path": str(root), "image_size": 8, **settings})
    return load(data, warn=(said if said is not None else []).append)


def refused(root: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        read(root, **settings)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("seg_train", "seg_test"),
        ("seg_train__seg_train", "seg_test__seg_test"),
        ("train_images", "test_images"),
        ("trainset", "testset"),
        ("archive__Train", "archive__Test"),
        ("train2017", "test2017"),
    ],
)
def test_training_and_test_folders_are_recognised(tmp_path: Path, train: str, test: str) -> None:
    toy(tmp_path, **{train: 6, test: 4})
    dataset = read(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert (len(dataset.train), len(dataset.test), dataset.validation) == (12, 8, None)


@pytest.mark.parametrize("validation", ["val", "valid", "Validation", "dev"])
def test_a_validation_folder_is_the_validation_split(tmp_path: Path, validation: str) -> None:
    toy(tmp_path, train=6, **{validation: 4}, test=5)
    dataset = read(tmp_path)
    for seed in (0, 1):
        splits = split(dataset, 0.1, seed)
        assert [len(part) for part in vars(splits).values()] == [12, 8, 10]
        assert sorted(set(splits.validation.images.ravel())) == [*range(80, 84), *range(120, 124)]
    assert split(dataset, 0.1, 0, share=0.5).train.labels.tolist() == [0] * 3 + [1] * 3
    assert len(split(dataset, "test", 0).train) == 12
    names = dataset.files["train"]
    assert [names[place] for place in splits.validation.index[:2]] == [
        f"{validation}/cat/00.png",
        f"{validation}/cat/01.png",
    ]


def test_without_a_test_folder_test_images_are_held_out_of_the_training_folder(
    tmp_path: Path,
) -> None:
    toy(tmp_path, train=10, val=4)
    splits = split(read(tmp_path, test=0.2), 0.1, seed=0)
    assert [len(part) for part in vars(splits).values()] == [16, 8, 4]
    assert splits.test.images.max() < 80


def test_the_data_change_when_the_validation_split_does(tmp_path: Path) -> None:
    toy(tmp_path, train=6, val=4, test=4)
    before = read(tmp_path).data_id
    (tmp_path / "val" / "cat" / "03.png").rename(tmp_path / "train" / "cat" / "99.png")
    assert read(tmp_path).data_id != before


def test_one_line_says_what_was_understood(tmp_path: Path) -> None:
    toy(tmp_path, Training=6, Testing=4)
    for _ in range(2):  # also from the cache
        said: list[str] = []
        read(tmp_path, said)
        assert said == [
            f"{tmp_path} has 12 images for training and validation (Training/), 8 images for"
            " testing (Testing/), in 2 classes: cat, dog; all are grey, so they have 1 channel"
        ]
    said = []
    read(tmp_path / "Training", said, validation="test")
    assert said == [
        f"{tmp_path}/Training has 10 images for training, 2 images for validation and testing"
        " (held out), in 2 classes: cat, dog; all are grey, so they have 1 channel"
    ]


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        (("train", "training", "test"), "both train/ and training/ may be its train split"),
        (("val", "test"), "no folder of training images"),
        (("train", "cat"), "train/ may be a split or a class"),
        (("train_cars", "test_cats"), "may be splits or classes"),
        (("cat__train", "cat__test", "dog__train", "dog__test"), "as in train/cat/"),
    ],
)
def test_ambiguous_layouts_are_refused(tmp_path: Path, splits: list[str], reason: str) -> None:
    toy(tmp_path, **dict.fromkeys(splits, 2))
    message = refused(tmp_path)
    assert "ambiguous" in message
    assert reason in message


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    toy(tmp_path, train=4)
    fill(tmp_path / "test1", 3, 0)
    assert "test1 contains no class folders, but 3 files" in refused(tmp_path)
    assert len(read(tmp_path / "train").test) == 2


@pytest.mark.parametrize("names", [("bus", "train", "tram"), ("test_negative", "test_positive")])
def test_classes_may_have_the_names_of_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        fill(tmp_path / name, 4, 50 * number)
    assert read(tmp_path).class_names == names


@pytest.mark.parametrize(
    "name", ["constrain", "testimony", "trained_dogs", "2017", "", "train_test"]
)
def test_other_names_are_no_splits(name: str) -> None:
    assert split_name(name) is None


def test_images_in_no_class_folder_are_named(tmp_path: Path) -> None:
    toy(tmp_path, train=4, test=4)
    Image.new("L", (8, 8)).save(tmp_path / "train" / "loose.JPG")
    (tmp_path / "train" / "readme.txt").write_text("")
    said: list[str] = []
    read(tmp_path, said)
    assert said[0] == "not used because they are in no class folder: 1 image, train/loose.JPG"


def test_names_in_different_unicode_forms_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for number, name in enumerate((composed, decomposed, "tea")):
        fill(tmp_path / "train" / name, 4, 40 * number)
    fill(tmp_path / "test" / decomposed, 4, 200)
    fill(tmp_path / "test" / "tea", 4, 220)
    for classes in ([], [decomposed, "tea"]):
        dataset = read(tmp_path, classes=classes)
        assert dataset.class_names == (composed, "tea")
        assert np.bincount(dataset.train.labels).tolist() == [8, 4]
        assert np.bincount(dataset.test.labels).tolist() == [4, 4]


def test_folders_that_are_no_classes_can_be_left_out(tmp_path: Path) -> None:
    toy(tmp_path, **{".": 6})
    before = read(tmp_path).data_id
    (tmp_path / "logs").mkdir()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("code")
    fill(tmp_path / "one", 1, 0)
    (tmp_path / "damaged").mkdir()
    for number in range(4):
        (tmp_path / "damaged" / f"{number}.png").write_text("not an image")
    assert "data.classes" in refused(tmp_path)
    dataset = read(tmp_path, classes=["cat", "dog"])
    assert dataset.data_id == before
    assert not dataset.skipped
    (tmp_path / "cat" / "00.png").write_text("damaged")
    assert len(read(tmp_path, classes=["cat", "dog"]).skipped) == 1
    assert "no class 'bird'" in refused(tmp_path, classes=["bird", "dog"])


def test_a_class_that_is_left_out_does_not_change_the_identity_of_the_files(tmp_path: Path) -> None:
    toy(tmp_path, train=6, val=4, test=4)
    before = read(tmp_path).source_id
    for split_folder in ("train", "val", "test"):
        fill(tmp_path / split_folder / "ant", 3, 7)
    assert read(tmp_path).source_id != before
    assert read(tmp_path, classes=["cat", "dog"]).source_id == before


def test_files_are_named_from_the_folder_that_the_recipe_names(tmp_path: Path) -> None:
    toy(tmp_path, animals=6)
    (tmp_path / "animals" / "cat" / "99.png").write_text("damaged")
    dataset = read(tmp_path)
    assert dataset.skipped[0].startswith("animals/cat/99.png: ")
    assert all(name.startswith("animals/") for name in dataset.files["train"])
