import keras
import numpy as np
import pytest

from mlplab.optim import optimizers
from mlplab.optim.muon import Muon
from mlplab.tables import Named


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40)])
def test_a_step_is_what_kerass_is_to_the_rounding_of_bfloat16(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours, theirs = (
        np.asarray(each.zeropower_via_newtonschulz5(matrix, 5))
        for each in (Muon(), keras.optimizers.Muon())
    )
    assert np.linalg.norm(ours - theirs) < 0.03 * np.linalg.norm(theirs)
    assert not np.array_equal(ours, theirs)
    values = np.linalg.svd(ours, compute_uv=False)
    assert 0.5 < values.min() < values.max() < 1.35


def test_is_used_where_products_are_to_be_in_bfloat16():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    built = {
        p: optimizers.build(Named(name="muon"), model, precision=p) for p in ("float32", "bfloat16")
    }
    assert type(built["float32"]) is keras.optimizers.Muon
    assert type(built["bfloat16"]) is Muon
    assert built["bfloat16"].name == built["float32"].name == "muon"
