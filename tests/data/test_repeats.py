import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from mlplab.data import load, split
from mlplab.data.dataset import whole
from mlplab.data.repeats import repeats, shared
from mlplab.experiment import data_checks
from mlplab.recipes.recipe import Data


def test_equal_images_are_grouped_across_splits() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(-1, 1, 1, 1)
    train = whole(images[[0, 1, 2, 1]], np.zeros(4, np.int32))
    test = whole(images[[3, 1, 4, 4]], np.zeros(4, np.int32))
    groups = repeats(train, test)
    assert groups.tolist() == [[0, 0, 1], [0, 0, 3], [0, 1, 1], [1, 1, 2], [1, 1, 3]]
    assert shared(groups, np.array([0, 3]), np.array([0, 1, 2, 3]), tests=True) == [(1, 3)]
    assert shared(groups, np.array([0, 2, 3]), np.array([1]), tests=False) == [(1, 3)]
    assert shared(groups, np.array([0, 2]), np.array([1]), tests=True) == []


def test_held_out_pictures_that_are_also_in_training_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, count in (("train", 6), ("val", 4), ("test", 5)):
        for label in ("cat", "dog"):
            (tmp_path / folder / label).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
                image.save(tmp_path / folder / label / f"{number}.png")
    shutil.copy(tmp_path / "train" / "cat" / "2.png", tmp_path / "test" / "cat" / "copy.png")
    Image.open(tmp_path / "train" / "dog" / "3.png").save(tmp_path / "test" / "cat" / "x.bmp")
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "val" / "cat" / "1.png")
    settings = Data(name="folder", path=str(tmp_path), image_size=8)
    for _ in range(2):  # also from the cache
        dataset = load(settings, warn=lambda text: None)
        found = data_checks.repeated(dataset, split(dataset, 0.1, seed=0))
        assert found == {
            "validation": {
                "images": 1,
                "share": 1 / 8,
                "other_class": 0,
                "pairs": [["val/cat/1.png", "train/cat/0.png"]],
            },
            "test": {
                "images": 2,
                "share": 2 / 12,
                "other_class": 1,
                "pairs": [
                    ["test/cat/copy.png", "train/cat/2.png"],
                    ["test/cat/x.bmp", "train/dog/3.png"],
                ],
            },
        }
    said = data_checks.note_of(found)
    assert said is not None
    assert "1 of the validation images (12.5 %) and 2 of the test images (16.7 %)" in said
    assert list(data_checks.repeated(dataset, split(dataset, "test", seed=0))) == ["test"]


def test_other_pictures_are_not_mentioned() -> None:
    dataset = load(Data(name="digits"))
    found = data_checks.repeated(dataset, split(dataset, 0.1, seed=0))
    assert found == {}
    assert data_checks.note_of(found) is None
