from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlplab.models.layers.inputs import Scaling, scaling_layer

PIXELS = np.array([[[[0, 51, 255], [255, 102, 7]]]], np.uint8)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("symmetric", PIXELS / 127.5 - 1),
        ("unit", PIXELS / 255),
        ("standard", (PIXELS - np.array([10.0, 50.0, 7.0])) / np.array([2.0, 5.0, 1.0])),
    ],
)
def test_scales_raw_pixels_before_and_after_saving(
    scaling: Scaling, expected: NDArray[Any], tmp_path: Path
) -> None:
    # The third channel does not vary: it is centred, not blown up.
    layer = scaling_layer(scaling, np.array([10.0, 50.0, 7.0]), np.array([4.0, 25.0, 0.0]))
    images = keras.Input((1, 2, 3), dtype="uint8")
    model = keras.Model(images, layer(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for each in (model, loaded):
        np.testing.assert_allclose(each(PIXELS), expected, atol=1e-5)
        assert each.output.dtype == "float32"


def test_standard_needs_its_statistics() -> None:
    with pytest.raises(ValueError, match="needs the mean and variance"):
        scaling_layer("standard")
