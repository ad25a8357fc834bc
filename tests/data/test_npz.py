"""The user's own images as arrays in a NumPy archive."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlplab.data import Dataset, load, split
from mlplab.errors import DataError
from mlplab.recipes.recipe import Data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 6, 5, 3), np.uint8)
LABELS = np.arange(40) % 4
ONE_HOT = np.eye(4, dtype=np.uint8)[LABELS]


def read(path: Path, said: list[str] | None = None, **settings: Any) -> Dataset:
    data = Data.model_validate({"name": "folder", "path": str(path), **settings})
    return load(data, warn=(said if said is not None else []).append)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


def refused(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        read(path, **settings)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


def test_keras_s_names_are_read_as_they_are(tmp_path: Path) -> None:
    path = saved(
        tmp_path, x_train=IMAGES[:24], y_train=LABELS[:24], x_test=IMAGES[24:], y_test=LABELS[24:]
    )
    said: list[str] = []
    dataset = read(path, said)
    np.testing.assert_array_equal(dataset.train.images, IMAGES[:24])
    np.testing.assert_array_equal(dataset.test.labels, LABELS[24:])
    assert dataset.class_names == ("0", "1", "2", "3")
    assert said == [
        f"{path} has 24 images for training and validation, 16 images for testing, in 4 classes: "
        "0, 1, 2, 3"
    ]


@pytest.mark.parametrize("labels", [LABELS[:, None], ONE_HOT], ids=["a column", "one-hot"])
def test_medmnist_s_names_have_a_published_validation_split(tmp_path: Path, labels: Any) -> None:
    arrays: dict[str, Any] = {}
    for name, part in (("train", slice(20)), ("val", slice(20, 28)), ("test", slice(28, 40))):
        arrays |= {f"{name}_images": IMAGES[part, ..., 0], f"{name}_labels": labels[part]}
    dataset = read(saved(tmp_path, **arrays))
    found = split(dataset, 0.1, seed=3)
    np.testing.assert_array_equal(found.validation.images[..., 0], IMAGES[20:28, ..., 0])
    np.testing.assert_array_equal(found.validation.labels, LABELS[20:28])
    assert [len(found.train), len(found.test)] == [20, 12]


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "Y")])
def test_without_test_arrays_a_share_is_held_out(tmp_path: Path, names: tuple[str, str]) -> None:
    path = saved(tmp_path, **{names[0]: IMAGES, names[1]: LABELS})
    said: list[str] = []
    dataset = read(path, said, test=0.3)
    assert np.bincount(dataset.test.labels).tolist() == [3, 3, 3, 3]
    np.testing.assert_array_equal(dataset.test.images, IMAGES[dataset.test.index])
    assert "12 images for testing (held out)" in said[0]


@pytest.mark.parametrize(
    ("images", "as_read"),
    [
        (IMAGES.astype(np.int64), IMAGES),
        (IMAGES.astype(">u2"), IMAGES),
        (IMAGES.astype(np.float32), IMAGES),
        (IMAGES.astype(np.float32) / 255, IMAGES),
        ((IMAGES / 255).astype(np.float16), IMAGES),
        (IMAGES[..., :1], IMAGES[..., :1]),
        (IMAGES[..., 0], IMAGES[..., :1]),
        (IMAGES[..., [0, 0, 0]], IMAGES[..., :1]),
        (None, None),
    ],
    ids=["int", "big-endian", "float", "0 to 1", "half", "1 channel", "none", "grey", "alpha"],
)
def test_pixels_are_read_without_loss(tmp_path: Path, images: Any, as_read: Any) -> None:
    if as_read is None:
        images = np.concatenate([IMAGES, np.full((40, 6, 5, 1), 255, np.uint8)], axis=-1)
        images[0, 0, 0, 3] = 0  # transparent: white, as in a picture file
        as_read = IMAGES.copy()
        as_read[0, 0, 0] = 255
    path = saved(tmp_path, x_train=images, y_train=LABELS, x_test=images, y_test=LABELS)
    dataset = read(path)
    assert dataset.train.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.train.images, as_read)


def test_channels_are_as_the_recipe_says(tmp_path: Path) -> None:
    grey = saved(tmp_path, x=IMAGES[..., 0], y=LABELS)
    assert read(grey).train.images.shape[-1] == 1
    assert read(grey, channels=3).train.images.shape[-1] == 3
    colour = saved(tmp_path, x=IMAGES, y=LABELS)
    assert read(colour).train.images.shape[-1] == 3
    assert read(colour, channels=1).train.images.shape[-1] == 1


def test_labels_may_be_text_or_have_names(tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "ant", "bee"])
    text = read(saved(tmp_path, x=IMAGES, y=words[LABELS]))
    assert text.class_names == ("ant", "bee", "cat", "dog")
    named = read(saved(tmp_path, x=IMAGES, y=LABELS, class_names=words))
    assert named.class_names == tuple(words)
    np.testing.assert_array_equal(named.train.labels, LABELS[named.train.index])
    numbers = read(saved(tmp_path, x=IMAGES, y=LABELS + 8))
    assert numbers.class_names == ("8", "9", "10", "11")


def test_the_size_of_arrays_is_their_own(tmp_path: Path) -> None:
    said: list[str] = []
    dataset = read(saved(tmp_path, x=IMAGES, y=LABELS), said, image_size=16)
    assert dataset.train.images.shape[1:] == (6, 5, 3)
    assert "data.image_size does not apply to arrays: these images have 6×5 pixels" in said


def with_nan() -> Any:
    images = IMAGES / 255
    images[3, 0, 0, 0] = np.nan
    return images


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": with_nan(), "y": LABELS}, "not finite"),
        ({"x": IMAGES[:39], "y": LABELS}, "x has 39 images, but y 40 labels"),
        ({"x_train": IMAGES, "x_test": IMAGES, "y_test": LABELS}, "it has x_train, but no y_train"),
        ({"x_test": IMAGES, "y_test": LABELS}, "expected x_train"),
        ({"weights": IMAGES}, "it has weights; expected x_train"),
        ({"x": IMAGES, "y": LABELS, "images": IMAGES, "labels": LABELS}, "both x and images"),
        ({"x": np.zeros((40, 9, 9, 9), np.uint8), "y": LABELS}, "no volumes"),
        ({"x": IMAGES.transpose(0, 3, 1, 2), "y": LABELS}, "transpose them"),
        ({"x": IMAGES.reshape(40, -1), "y": LABELS}, "40×90; expected images × height × width"),
        ({"x": IMAGES.astype(np.int16) * 2, "y": LABELS}, "expected 0 to 255"),
        ({"x": IMAGES.astype(np.int16) - 1, "y": LABELS}, "expected 0 to 255"),
        ({"x": IMAGES / 254.5, "y": LABELS}, "store them as uint8"),
        ({"x": IMAGES > 9, "y": LABELS}, "store them as uint8"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "there are none"),
        ({"x": IMAGES, "y": RNG.integers(0, 2, (40, 14))}, "several labels"),
        ({"x": IMAGES, "y": LABELS + 0.5}, "not whole numbers"),
        ({"x": IMAGES, "y": np.zeros(40, int)}, "at least 2 classes"),
        ({"x": IMAGES, "y": LABELS, "class_names": ["a", "b"]}, "from 0 to 1"),
        ({"x": IMAGES, "y": LABELS, "class_names": np.arange(4)}, "not a list of text"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
            "different shapes",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
            "no training images of class 4",
        ),
        ({"x": np.array([{}] * 40, object), "y": LABELS}, "arrays of Python objects"),
    ],
)
def test_what_is_wrong_with_arrays_is_named(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    message = refused(saved(tmp_path, **arrays))
    assert words in message
    assert "own.npz" in message


@pytest.mark.parametrize("change", [lambda b: b"", lambda b: b[:-30], lambda b: b[:200] + b"x" * 9])
def test_a_damaged_archive_is_refused(tmp_path: Path, change: Any) -> None:
    path = saved(tmp_path, x=IMAGES, y=LABELS)
    path.write_bytes(change(path.read_bytes()))
    assert "damaged or no NumPy archive" in refused(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "these end in .npz" in refused(tmp_path / "notes.txt")


def test_the_identity_follows_the_content(tmp_path: Path) -> None:
    first = read(saved(tmp_path, x=IMAGES, y=LABELS))
    assert first.source_id == first.data_id
    assert read(saved(tmp_path, x=IMAGES, y=LABELS)).data_id == first.data_id
    assert read(saved(tmp_path, x=IMAGES[::-1], y=LABELS)).data_id != first.data_id
