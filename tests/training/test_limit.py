"""The limit of a training step: what is counted, and that it is measured."""

from collections.abc import Callable

import jax
import keras
import pytest

from mlplab import models, recipes
from mlplab.models.layers.dense import Precision
from mlplab.models.layers.inputs import scaling_layer
from mlplab.training import limit
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


def test_a_convolution_is_a_product_with_a_row_for_each_position() -> None:
    found = products([Layer(27, 8, positions=49), Layer(72, 4, positions=9)], batch=5)
    assert [(p.role, p.rows, p.depth, p.columns) for p in found] == [
        ("forward", 245, 27, 8),
        ("weights", 27, 245, 8),
        ("forward", 45, 72, 4),
        ("weights", 72, 45, 4),
        ("inputs", 45, 4, 72),
    ]


def test_the_convolutions_of_a_network_are_found() -> None:
    recipe = recipes.load("cnn-small", ["model.channels=[4, 6]"])
    task = models.Task((8, 8, 3), 10, scaling_layer("unit"), 0, "bfloat16")
    found = layers_of(models.build(recipe.model, task))
    assert found[0] == Layer(27, 4, "bfloat16", positions=16)
    assert found[-2:] == [Layer(54, 6, "bfloat16", positions=4), Layer(24, 10, "float32")]


@pytest.mark.usefixtures("short_measurements")
def test_more_rows_take_longer_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "MOST", 16)
    monkeypatch.setattr(limit, "_best_layout", lambda *shape: (1.0, "NN"))
    (forward, weights) = measure([Layer(64, 8, positions=10)], 8, 512, 0).products
    assert forward.seconds == 80 * 64 / 16**2 == weights.seconds


def test_adam_moves_28_bytes_for_each_weight() -> None:
    assert optimizer_bytes(weights=10, slots=20) == 280


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_dense_layers_of_a_network_are_found(precision: Precision) -> None:
    recipe = recipes.load("quickstart", [f"training.precision={precision}", "model.hidden=[7, 5]"])
    task = models.Task((8, 8, 1), 10, scaling_layer("unit"), 0, recipe.training.precision)
    model = models.build(recipe.model, task)
    hidden = [Layer(64, 7, precision), Layer(7, 5, precision)]
    assert layers_of(model) == [*hidden, Layer(5, 10, "float32")]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the text of a CPU's program")
@pytest.mark.parametrize("axes", limit.LAYOUTS.values(), ids=limit.LAYOUTS)
@pytest.mark.usefixtures("short_measurements")
def test_a_product_is_computed_each_time_that_it_is_timed(
    axes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """XLA takes what does not change out of a loop: then it would lie in the entry."""
    texts: list[str] = []
    jit = jax.jit

    def spied(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        program = jit(function)

        def call(*arguments: jax.Array) -> jax.Array:
            texts.append(program.lower(*arguments).compile().as_text() or "")
            return program(*arguments)

        return call

    monkeypatch.setattr(jax, "jit", spied)
    limit._product_seconds(8, 16, 4, axes, "float32")
    assert "dot_general" in texts[0]
    assert "dot_general" not in texts[0].split("ENTRY ")[1]


@pytest.mark.usefixtures("short_measurements")
def test_a_measured_limit_is_its_products_and_its_update() -> None:
    found = measure([Layer(8, 4)], batch=16, weights=36, slots=72)
    assert found.seconds == found.products_seconds + found.optimizer_seconds
    assert found.products_seconds == sum(product.seconds for product in found.products) > 0
    assert found.optimizer_seconds == found.optimizer_bytes / found.bandwidth > 0


@pytest.mark.usefixtures("short_measurements")
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
