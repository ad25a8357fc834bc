"""Grey images have one channel, colour images three."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlplab.data import Dataset, load
from mlplab.data.channels import in_channels
from mlplab.data.images import read_image
from mlplab.errors import RecipeError
from mlplab.recipes import validate
from mlplab.recipes.recipe import Data

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), np.uint8)


def fill(root: Path, mode: str = "L") -> Path:
    for number, pixels in enumerate(PIXELS):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).convert(mode).save(path)
    return root


def read(root: Path, **settings: Any) -> Dataset:
    data = Data.model_validate({"name": "folder", "path": str(root), "image_size": 8, **settings})
    return load(data, warn=lambda text: None)


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "RGBA"])
def test_a_folder_of_grey_images_has_one_channel(tmp_path: Path, mode: str) -> None:
    dataset = read(fill(tmp_path, mode))
    assert dataset.train.images.shape == (16, 8, 8, 1)
    first = tmp_path / dataset.files["train"][int(dataset.train.index[0])]
    np.testing.assert_array_equal(read_image(first, (8, 8, 1)), dataset.train.images[0])


def test_one_image_in_colour_makes_it_a_folder_of_colour_images(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.fromarray(PIXELS[0]).save(tmp_path / "b" / "colour.png")
    dataset = read(tmp_path)
    assert dataset.train.images.shape[1:] == (8, 8, 3)
    assert read(tmp_path, channels=3).data_id == dataset.data_id
    assert read(tmp_path, channels=1).train.images.shape[1:] == (8, 8, 1)


def test_grey_images_may_keep_three_channels(tmp_path: Path) -> None:
    fill(tmp_path)
    grey, colour = read(tmp_path), read(tmp_path, channels=3)
    np.testing.assert_array_equal(np.repeat(grey.train.images, 3, -1), colour.train.images)
    assert grey.data_id != colour.data_id
    assert grey.source_id == colour.source_id


def test_arrays_become_grey_as_picture_files_do() -> None:
    found = in_channels({"train": PIXELS}, 1)["train"]
    for image, expected in zip(found, PIXELS, strict=True):
        grey = np.asarray(Image.fromarray(expected).convert("L"))
        np.testing.assert_array_equal(image[..., 0], grey)


def test_only_the_user_s_own_images_have_a_choice_of_channels() -> None:
    with pytest.raises(RecipeError, match=r"data\.channels is for your own images"):
        validate({"data": {"name": "digits", "channels": 3}})
