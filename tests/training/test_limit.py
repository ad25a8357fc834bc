"""The limit of a training step: what is counted, and that it is measured."""

import os

import jax
import keras
import pytest

from mlplab import models, recipes
from mlplab.models.layers.inputs import scaling_layer
from mlplab.training.limit import Layer, layers_of, measure, of_model, optimizer_bytes, products


def test_a_step_multiplies_forward_and_for_every_gradient_but_the_first_inputs() -> None:
    found = products([Layer(12, 8, "bfloat16"), Layer(8, 3)], batch=5)
    shapes = [(p.role, p.layer, p.rows, p.depth, p.columns, p.precision) for p in found]
    assert shapes == [
        ("forward", 1, 5, 12, 8, "bfloat16"),
        ("weights", 1, 12, 5, 8, "bfloat16"),
        ("forward", 2, 5, 8, 3, "float32"),
        ("weights", 2, 8, 5, 3, "float32"),
        ("inputs", 2, 5, 3, 8, "float32"),
    ]
    assert sum(p.flops for p in found) == 2 * 5 * (2 * 12 * 8 + 3 * 8 * 3)


def test_a_frozen_first_layer_is_multiplied_with_and_needs_no_gradients() -> None:
    found = products([Layer(12, 8, trained=False), Layer(8, 3)], batch=5)
    assert [(p.role, p.layer) for p in found] == [("forward", 1), ("forward", 2), ("weights", 2)]


def test_adam_moves_28_bytes_for_each_weight() -> None:
    assert optimizer_bytes(weights=10, slots=20) == 280


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_dense_layers_of_a_network_are_found(precision: str) -> None:
    recipe = recipes.load("quickstart", [f"training.precision={precision}", "model.hidden=[7, 5]"])
    task = models.Task((8, 8, 1), 10, scaling_layer("unit"), 0, recipe.training.precision)
    model = models.build(recipe.model, task)
    hidden = [Layer(64, 7, precision), Layer(7, 5, precision)]
    assert layers_of(model) == [*hidden, Layer(5, 10, "float32")]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rate of a CPU's core")
def test_a_product_is_computed_each_time_that_it_is_timed() -> None:
    side = 512
    limit = measure([Layer(side, side)], batch=side, weights=side * side, slots=0)
    product = limit.products[0]
    # No core does more in float32; hoisted out of its loop the product would seem to.
    assert 1e9 < product.flops / product.seconds < 4e11 * (os.cpu_count() or 1)
    assert limit.seconds == limit.products_seconds + limit.optimizer_seconds
    assert 1e8 < limit.bandwidth < 1e13


def test_the_optimizers_slots_count() -> None:
    seconds = {}
    for name in ("sgd", "adam"):
        model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)])
        model.compile(name, "mse")
        model.optimizer.build(model.trainable_variables)
        seconds[name] = of_model(model, batch=4).optimizer_bytes
    weights = 16 * 8 + 8
    assert seconds["sgd"] == pytest.approx(4 * 3 * weights, rel=0.05)
    assert seconds["adam"] == pytest.approx(4 * 7 * weights, rel=0.05)
