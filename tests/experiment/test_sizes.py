"""Sizes that do not suit each other: batches and splits, images and networks."""

from typing import Any

import keras
import numpy as np
import pytest

from mlplab import recipes
from mlplab.data import Splits
from mlplab.data.dataset import whole
from mlplab.experiment.sizes import notes
from mlplab.models.footprint import LIMIT, MOST, evaluation_batch


def said(images: int, side: int, *overrides: str) -> list[str]:
    train = whole(np.zeros((images, side, side, 3), np.uint8), np.zeros(images, np.int32))
    recipe = recipes.load("quickstart", overrides)
    return list(notes(recipe, Splits(train, train, train)))


def test_a_batch_larger_than_the_training_set_is_mentioned() -> None:
    (text,) = said(177, 8, "training.batch_size=250", "training.epochs=16")
    assert "there are 177 training images: each epoch is one step, the whole training 16" in text
    assert "try training.batch_size=16" in text
    assert not said(250, 8, "training.batch_size=250")


OWN = ["data.name=folder", "data.path=d", "model.name=pretrained"]


def test_a_pretrained_network_reads_a_folder_in_the_size_that_it_takes() -> None:
    assert recipes.load("quickstart", OWN).data.image_size == 96
    assert recipes.load("quickstart", [*OWN, "model.image_size=160"]).data.image_size == 160
    assert recipes.load("quickstart", [*OWN, "data.image_size=64"]).data.image_size == 64
    assert recipes.load("quickstart", OWN[:2]).data.image_size == 32


def test_images_smaller_than_a_pretrained_network_takes_are_mentioned() -> None:
    (text,) = said(200, 32, *OWN, "data.image_size=32", "training.batch_size=8")
    assert "try data.image_size=96" in text


@pytest.mark.parametrize(("side", "filters", "most"), [(32, 64, MOST), (224, 96, 40)])
def test_large_images_are_evaluated_fewer_at_a_time(side: int, filters: int, most: int) -> None:
    inputs = keras.Input((side, side, 3))
    outputs: Any = keras.layers.Conv2D(filters, 3, padding="same")(inputs)
    found = evaluation_batch(keras.Model(inputs, outputs))
    assert most * 0.9 <= found <= most
    assert found * side * side * filters * 12 <= LIMIT
