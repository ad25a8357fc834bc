"""The parts of a step in C++, where there is a compiler."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax import lax
from tests.helpers import train

import mlplab
from mlplab.augment.pipeline import Augmentation
from mlplab.models.conversion import MANY, fast_layers, is_worth_cpp
from mlplab.models.layers import pooling
from mlplab.models.layers.convolution import convolved, margin, reach
from mlplab.models.layers.depthwise import depthwise
from mlplab.models.native import calls, convolution, library
from mlplab.models.native.convolution import Form
from mlplab.recipes.recipe import Augment

FORMS = list(itertools.product([1, 2], [3, 20], [2, 3], ["same", "valid"]))
DIMENSIONS = ("NHWC", "HWIO", "NHWC")
FORMS += [(2, 20, 1, "same")]


@pytest.fixture(scope="module", autouse=True)
def native() -> Iterator[None]:
    """Switch it on: the other tests run without it, as most users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLPLAB_NATIVE", raising=False)
        library.loaded.cache_clear()
        if why_not := library.why_not():
            pytest.skip(why_not)
        yield
    library.loaded.cache_clear()


def drawn(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def with_gradients(function: Any, *arrays: jax.Array) -> list[jax.Array]:
    result, back = jax.vjp(function, *arrays)
    return [result, *back(jnp.sin(jnp.arange(result.size)).reshape(result.shape))]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("stride", "channels", "side", "padding"), FORMS)
def test_values_and_gradients_are_those_of_xla(
    stride: int, channels: int, side: int, padding: Any, precision: Any
) -> None:
    x, kernel = drawn(3, 7, 6, channels), drawn(side, side, channels, 4)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolved(x, kernel, stride, precision, padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding.upper(), dimension_numbers=DIMENSIONS
        )

    both = jax.jit(with_gradients, static_argnums=0)
    assert "mlplab_convolve" in jax.jit(ours).lower(x, kernel).as_text()
    far = 3e-6 if precision == "float32" else 0.1
    for mine, other in zip(both(ours, x, kernel), both(theirs, x, kernel), strict=True):
        np.testing.assert_allclose(mine, other, atol=far * float(jnp.abs(other).max()))


def gradients(x: jax.Array, kernel: jax.Array, y: jax.Array, form: Form) -> list[jax.Array]:
    places = jnp.zeros((0, 0, 0, 0), jnp.uint8)
    return [
        convolution.back(what, y, other, places, shape, form)
        for what, other, shape in (
            (convolution.TO_IMAGES, kernel, x.shape),
            (convolution.TO_KERNEL, x, kernel.shape),
        )
    ]


@pytest.mark.parametrize("many", [2, 3, 9])
def test_pieces_sum_to_the_whole(many: int) -> None:
    x, y, kernel = drawn(7, 6, 6, 5), jnp.flip(drawn(7, 6, 6, 4)), drawn(3, 3, 5, 4)
    whole = gradients(x, kernel, y, Form(6, 6, 1, ((1, 1), (1, 1)), pieces=1))
    parts = gradients(x, kernel, y, Form(6, 6, 1, ((1, 1), (1, 1)), pieces=many))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("stride", "channels", "side"), [(1, 5, 3), (2, 20, 2), (1, 37, 5)])
def test_depthwise_convolutions_are_those_of_xla(
    padding: Any, stride: int, channels: int, side: int
) -> None:
    x, kernel = drawn(3, 9, 7, channels), drawn(side, side, channels, 1)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return depthwise(x, kernel, stride, padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel.reshape(side, side, 1, channels),
            (stride, stride),
            padding.upper(),
            dimension_numbers=DIMENSIONS,
            feature_group_count=channels,
        )

    assert "mlplab_depthwise" in jax.jit(ours).lower(x, kernel).as_text()
    for mine, other in zip(
        with_gradients(ours, x, kernel), with_gradients(theirs, x, kernel), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("channels", "out", "wide"), [(16, 40, 6), (30, 16, 9), (70, 33, 16)])
def test_winograds_algorithm_gives_the_same_values_and_gradients(
    padding: Any, channels: int, out: int, wide: int
) -> None:
    x, kernel = drawn(3, 7, wide, channels), drawn(3, 3, channels, out)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolved(x, kernel, 1, "float32", padding)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, kernel, (1, 1), padding.upper(), dimension_numbers=DIMENSIONS
        )

    both = jax.jit(with_gradients, static_argnums=0)
    for mine, other in zip(both(ours, x, kernel), both(theirs, x, kernel), strict=True):
        np.testing.assert_allclose(mine, other, atol=3e-6 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("factors", [1, 2], ids=["pairs", "tiles"])
@pytest.mark.parametrize(
    ("stride", "channels", "side", "wide", "out"),
    [(1, 4, 3, 6, 9), (2, 3, 3, 7, 17), (1, 5, 2, 5, 33), (1, 24, 3, 70, 50), (1, 70, 1, 1, 40)],
)
def test_factors_in_bfloat16_are_rounded_and_their_products_are_not(
    monkeypatch: pytest.MonkeyPatch,
    stride: int,
    channels: int,
    side: int,
    wide: int,
    out: int,
    factors: int,
) -> None:
    monkeypatch.setattr(library, "factors_of", lambda precision: (precision != "float32") * factors)
    x, kernel = drawn(3, 6, wide, channels), drawn(side, side, channels, out)
    around = margin(x, side, stride, "same")
    high, wide = reach(x, side, stride, around)
    y = jnp.sin(jnp.arange(3.0 * high * wide * out)).reshape(3, high, wide, out)
    plain, narrow = Form(high, wide, stride, around), Form(high, wide, stride, around, "bfloat16")

    def rounded(array: jax.Array) -> jax.Array:
        return array.astype(jnp.bfloat16).astype(jnp.float32)

    expected = [convolution.convolved(rounded(x), rounded(kernel), None, plain)]
    expected += gradients(rounded(x), rounded(kernel), rounded(y), plain)
    found = [convolution.convolved(x, kernel, None, narrow), *gradients(x, kernel, y, narrow)]
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("then", ["linear", "relu", "gelu", "maxima"])
@pytest.mark.parametrize(("many", "side", "channels"), [(3, 7, 5), (41, 16, 16)])
def test_what_follows_a_convolution_is_what_keras_computes(
    then: str, many: int, side: int, channels: int
) -> None:
    x, kernel = drawn(many, side, side - 1, channels), drawn(3, 3, channels, 17)
    bias = drawn(17)

    def ours(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return convolved(x, kernel, 1, "float32", "same", bias, then)

    def theirs(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS) + bias
        if then == "maxima":
            return keras.ops.max_pool(y, (2, 2), (2, 2))
        return keras.activations.get(then)(y)

    alone = jax.jit(ours)(x, kernel, bias)
    for both in zip(*(with_gradients(f, x, kernel, bias) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(both[0], both[1], atol=1e-5 * float(jnp.abs(both[1]).max()))
    np.testing.assert_allclose(alone, ours(x, kernel, bias), atol=1e-5)


@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
@pytest.mark.parametrize("channels", [3, 16, 20])
def test_normalisation_is_that_of_keras(channels: int, activation: str) -> None:
    x = 3 + 2 * drawn(9, 8, 7, channels)
    scale, shift = 1 + jnp.arange(channels) / 9, jnp.arange(channels) / 7 - 1

    def theirs(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        plain = (x - mean) / jnp.sqrt(variance + 1e-3)
        return keras.activations.get(activation)(plain * scale + shift)

    def ours(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        return calls.normalise(x, scale, shift, 1e-3, activation)[0]

    for both in zip(*(with_gradients(f, x, scale, shift) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(both[0], both[1], atol=2e-5 * float(jnp.abs(both[1]).max()))
    _, mean, variance = calls.normalise(x, scale, shift, 1e-3, activation)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-5)


def test_the_variance_of_what_is_far_from_zero_keeps_its_digits() -> None:
    x = 1000 + drawn(9, 8, 8, 8)
    (_, _, variance) = calls.normalise(x, jnp.ones(8), jnp.zeros(8), 1e-3, "linear")
    np.testing.assert_allclose(variance, np.asarray(x, np.float64).var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("channels", [3, 16, 45])
def test_layer_normalisation_is_that_of_keras(channels: int) -> None:
    x, scale, shift = 5 + drawn(300, 3, channels), 1 + drawn(channels), drawn(channels)

    def theirs(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        result: jax.Array = keras.ops.layer_normalization(x, scale, shift, epsilon=1e-3)
        return result

    def ours(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        return calls.layer_normalise(x, scale, shift, 1e-3)

    found, expected = (with_gradients(f, x, scale, shift) for f in (ours, theirs))
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5 * float(jnp.abs(other).max()))


def test_the_layers_of_a_transformer_are_in_cpp_while_it_is_trained() -> None:
    layers = [keras.layers.LayerNormalization(), keras.layers.Dense(6, activation="gelu")]
    model = keras.Sequential([keras.Input((4, 5)), *layers])
    x = drawn(3, 4, 5)
    with fast_layers(model):
        found, program = model(x), jax.jit(lambda x: model(x)).lower(x).as_text()
    assert "mlplab_layer_normalise" in program
    assert "mlplab_activate" in program
    np.testing.assert_allclose(found, model(x), atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_activations_are_those_of_keras(activation: str) -> None:
    x = jnp.linspace(-12, 12, 3 * 5 * 7 * 3).reshape(3, 5, 7, 3)
    theirs = keras.activations.get(activation)
    ours = partial(calls.activate, activation=activation)
    for mine, other in zip(with_gradients(ours, x), with_gradients(theirs, x), strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-6)


@pytest.mark.parametrize("side", [2, 3])
def test_maxima_are_those_of_keras_and_ties_share_their_gradient(side: int) -> None:
    x = jnp.round(drawn(3, 7, 6, 9))
    in_xla = jnp.stack(
        [
            x[:, i : 7 // side * side : side, j : 6 // side * side : side]
            for i in range(side)
            for j in range(side)
        ]
    )
    found, back = jax.vjp(lambda x: pooling.maximum(x, side), x)
    np.testing.assert_array_equal(found, in_xla.max(0))
    (share,) = back(jnp.ones_like(found))
    np.testing.assert_allclose(share.sum(), found.size, rtol=1e-5)
    assert not share[:, 7 // side * side :].any()


@pytest.mark.parametrize("place", range(4))
def test_a_maximum_passes_on_what_is_not_a_number(place: int) -> None:
    x = drawn(1, 2, 2, 1).at[0, place // 2, place % 2].set(jnp.nan)
    assert jnp.isnan(pooling.maximum(x, 2)).all()
    corner = drawn(1, 3, 3, 1).at[0, place // 2 * 2, place % 2 * 2].set(jnp.nan)
    seen = convolved(corner, jnp.ones((2, 2, 1, 1)), 1, "float32", "valid", then="maxima")
    assert seen.shape == (1, 1, 1, 1)
    assert jnp.isnan(seen).all()


def small_network() -> keras.Model:
    inputs = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="one")(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.BatchNormalization(name="two")(x)
    x = keras.layers.Activation("gelu")(x)
    x = keras.layers.Conv2D(8, 2, name="three")(x)
    x = keras.layers.Activation("relu")(x)
    seen = keras.layers.BatchNormalization(name="four")(x)
    y = keras.layers.Activation("relu")(seen)
    y = keras.layers.Add()([seen, y])
    y = keras.layers.GlobalAveragePooling2D()(y)
    return keras.Model(inputs, keras.layers.Dense(3, name="out")(y))


def test_joined_layers_of_a_network_compute_what_keras_does() -> None:
    network = small_network()
    state = (
        [v.value for v in network.trainable_variables],
        [v.value for v in network.non_trainable_variables],
    )
    x = drawn(6, 9, 9, 3)

    def loss(weights: Any, others: Any) -> Any:
        outputs, others = network.stateless_call(weights, others, x, training=True)
        return jnp.square(outputs - 1).sum(), others

    theirs = jax.value_and_grad(loss, has_aux=True)(*state)
    with fast_layers(network):
        then = {layer.name: layer.then for layer in network.layers if hasattr(layer, "then")}
        ours = jax.value_and_grad(loss, has_aux=True)(*state)
    assert {name: then[name] for name in ("one", "two", "three", "four")} == {
        "one": "maxima",
        "two": "gelu",
        "three": "relu",
        "four": "linear",
    }
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4 * max(1, float(jnp.abs(other).max())))
    assert not any(hasattr(layer, "then") for layer in network.layers)


def test_a_layer_whose_result_is_returned_is_not_joined() -> None:
    network = small_network()
    both = keras.Model(network.inputs, [network.get_layer("two").output, network.output])
    with fast_layers(both):
        assert both.get_layer("two").then == "linear"


def test_a_short_training_of_an_mlp_does_not_compile_cpp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = [keras.layers.Dense(6, activation="gelu"), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((5,)), *layers, keras.layers.Activation("gelu")])
    monkeypatch.setattr(library, "loaded", lambda: pytest.fail("it would be compiled"))
    with fast_layers(model):
        model(drawn(3, 5), training=True)


def test_a_long_training_of_an_mlp_does_if_something_in_it_is_faster() -> None:
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, activation="relu")])
    normalised = keras.Sequential([model, keras.layers.BatchNormalization()])
    assert not is_worth_cpp(model, MANY)
    assert is_worth_cpp(model, MANY, slow_images=True)
    assert is_worth_cpp(normalised, MANY)
    assert not is_worth_cpp(normalised, MANY - 1, slow_images=True)


def test_a_batch_of_an_mlp_is_normalised_as_keras_does_it() -> None:
    layers = [keras.layers.BatchNormalization(), keras.layers.Activation("gelu")]
    model = keras.Sequential([keras.Input((20,)), *layers])
    x = 3 + 2 * drawn(9, 20)
    theirs, moments = model(x, training=True), layers[0].non_trainable_variables
    after = [np.asarray(moment) for moment in moments]
    for moment, start in zip(moments, (0, 1), strict=True):
        moment.assign(np.full(20, start))
    with fast_layers(model, in_cpp=True):
        np.testing.assert_allclose(model(x, training=True), theirs, atol=1e-5)
    for moment, expected in zip(moments, after, strict=True):
        np.testing.assert_allclose(moment, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(32, 32, 3), (9, 14, 1), (1, 20, 4), (7, 6, 6)])
@pytest.mark.parametrize(
    "settings",
    [
        {"flip": "random"},
        {"flip": "alternating", "shift": 5, "cutout": 4},
        {"crop_resize": 0.3, "rotation": 40.0},
        {"colour": 0.5},
        {"flip": "random", "crop_resize": 0.5, "shift": 2, "colour": 0.2, "cutout": 3},
        {"mixup": 0.5},
        {"cutmix": 1.0},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_images_are_changed_as_xla_changes_them(
    settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    if "shift" in settings and min(shape[:2]) == 1:
        pytest.skip("images of one row cannot be shifted")
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (40, *shape), dtype=np.uint8))
    labels, rows = jnp.eye(5)[rng.integers(0, 5, 40)], jnp.arange(40)
    theirs, ours = (
        jax.jit(Augmentation(Augment(**settings), 3, in_cpp))(images, labels, rows, jnp.int32(1))
        for in_cpp in (False, True)
    )
    np.testing.assert_array_equal(ours[1], theirs[1])
    apart = np.abs(np.asarray(ours[0], int) - np.asarray(theirs[0], int))
    if settings.keys() <= {"flip", "shift", "cutout"}:
        assert not apart.any()
    # One away where a value is nearly halfway between two whole ones; colour scales that.
    assert apart.max() <= 1 + ("colour" in settings)
    assert np.mean(apart > 0) < 1e-3


def test_a_loss_of_ones_own_may_differentiate_gradients() -> None:
    class Penalised(keras.Model):
        def compute_loss(self, *arguments: Any, **more: Any) -> Any:
            return super().compute_loss(*arguments, **more)

    inputs = keras.Input((6, 6, 3))
    layer = keras.layers.Conv2D(4, 3)
    with fast_layers(Penalised(inputs, layer(inputs))):
        assert type(layer) is keras.layers.Conv2D


@pytest.mark.parametrize(
    "layer", [keras.layers.LayerNormalization, keras.layers.BatchNormalization]
)
def test_a_whole_number_is_an_epsilon(layer: Any) -> None:
    convolution = keras.layers.Conv2D(4, 3)
    model = keras.Sequential([keras.Input((6, 6, 3)), convolution, layer(epsilon=1)])
    x = drawn(2, 6, 6, 3)
    expected = model(x, training=True)
    with fast_layers(model):
        np.testing.assert_allclose(model(x, training=True), expected, atol=1e-5)


def test_many_at_once_wait_for_nobody() -> None:
    kernels = [drawn(3, 3, 8, 8) / (9 + n) for n in range(16)]

    @jax.jit
    def gradients(x: jax.Array) -> list[jax.Array]:
        def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            seen = [convolved(x, kernel, 1, "float32") for kernel in kernels]
            return sum(seen[1:], start=seen[0]) / 16, None

        return [jax.grad(lambda x: jnp.square(lax.scan(step, x, None, length=20)[0]).sum())(x)]

    for _ in range(5):
        (found,) = gradients(drawn(8, 8, 8, 8))
        assert jnp.isfinite(found).all()


def test_members_of_a_population_have_their_own() -> None:
    x, kernels = drawn(2, 6, 6, 3), drawn(4, 3, 3, 3, 5)
    found = jax.vmap(lambda kernel: convolved(x, kernel, 1, "float32"))(kernels)
    for result, kernel in zip(found, kernels, strict=True):
        np.testing.assert_array_equal(result, convolved(x, kernel, 1, "float32"))


def test_a_network_is_trained_to_the_same_bits_again(tmp_path: Any) -> None:
    recipe = mlplab.recipe(
        "cnn-small",
        data={"name": "digits", "share": 0.2},
        model={"channels": [8, 8]},
        training={"epochs": 2, "batch_size": 32},
        schedule={"warmup_epochs": 1},
    )
    one, other = (train(recipe, tmp_path, name) for name in "ab")
    assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]
