import jax.numpy as jnp
import keras
import numpy as np
import pytest

from mlplab.optim import optimizers
from mlplab.optim.muon import Muon
from mlplab.recipes.schema import Named


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40)])
def test_a_step_is_what_kerass_is_to_the_rounding_of_bfloat16(shape: tuple[int, int]) -> None:
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    rounded = Muon()
    rounded.precision = "bfloat16"
    ours, theirs = (
        np.asarray(each.zeropower_via_newtonschulz5(matrix, 5))
        for each in (rounded, keras.optimizers.Muon())
    )
    assert np.linalg.norm(ours - theirs) < 0.03 * np.linalg.norm(theirs)
    assert not np.array_equal(ours, theirs)
    values = np.linalg.svd(ours, compute_uv=False)
    assert 0.5 < values.min() < values.max() < 1.35


def test_is_used_where_products_are_to_be_in_bfloat16() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    built = {
        p: optimizers.build(Named(name="muon"), model, precision=p) for p in ("float32", "bfloat16")
    }
    assert built["float32"].precision == "float32"
    assert built["bfloat16"].precision == "bfloat16"
    assert built["bfloat16"].name == built["float32"].name == "muon"


def test_the_kernel_of_a_convolution_is_a_matrix_and_a_depthwise_one_is_not() -> None:
    """Twelve filters of 2·2·5 numbers each become orthogonal; Keras would give them to AdamW."""
    kernel = keras.Variable(np.zeros((2, 2, 5, 12), np.float32))
    deep = keras.Variable(np.zeros((2, 2, 5, 1), np.float32))
    optimizer = Muon(learning_rate=1.0, rms_rate=None, weight_decay=0.0, adam_weight_decay=0.0)
    random = np.random.default_rng(0)
    gradients = [random.normal(size=v.shape).astype(np.float32) for v in (kernel, deep)]
    optimizer.apply(gradients, [kernel, deep])
    values = np.linalg.svd(np.asarray(kernel).reshape(20, 12), compute_uv=False)
    assert 0.5 < values.min() < values.max() < 1.35
    np.testing.assert_allclose(abs(np.asarray(deep)), 1, atol=1e-3)  # AdamW's first step
