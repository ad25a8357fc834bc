import inspect
import tomllib
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplab.errors import RecipeError
from mlplab.optim import optimizers
from mlplab.recipes.recipe import Average
from mlplab.recipes.schema import Named

EVERY = sorted(optimizers.OPTIMIZERS)
BASE_KNOBS = {
    "weight_decay": 0.01,
    "clipnorm": 1.0,
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 5,
    "loss_scale_factor": 8.0,
    "gradient_accumulation_steps": 2,
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(5, activation="tanh", name="dense_1"),
        keras.layers.Dense(3, activation="softmax", name="output"),
    ]
    return keras.Sequential(layers)


def one_step(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> list[np.ndarray]:
    """Return the changes of the weights in one step from random gradients."""
    optimizer.build(model.trainable_variables)
    before = [v.value for v in model.trainable_variables]
    keys = jax.random.split(jax.random.key(0), len(before))
    gradients = [jax.random.normal(k, v.shape) for k, v in zip(keys, before, strict=True)]
    state = [v.value for v in optimizer.variables]
    after, _ = optimizer.stateless_apply(state, gradients, before)
    return [np.asarray(a - b) for a, b in zip(after, before, strict=True)]


def test_every_optimizer_of_keras_is_there_but_the_wrappers() -> None:
    public = {
        name
        for name, value in vars(keras.optimizers).items()
        if inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer)
    }
    assert public - set(EVERY) == {"Optimizer", "MultiOptimizer", "LossScaleOptimizer"}


@pytest.mark.parametrize("name", EVERY)
def test_builds_with_defaults_equal_to_kerass(name: str, model: keras.Model) -> None:
    completed = optimizers.complete(Named(name=name.lower()))
    assert completed.name == name
    built = optimizers.build(completed, model)
    expected = optimizers.OPTIMIZERS[name]().get_config()
    actual = built.get_config()
    own = {"name", "exclude_layers"}
    assert {k: v for k, v in actual.items() if k not in own} == {
        k: v for k, v in expected.items() if k not in own
    }
    assert set(completed.params) == set(expected) - {"name"}


@pytest.mark.parametrize("name", EVERY)
def test_base_knobs_reach_the_optimizer_and_are_checked(name: str, model: keras.Model) -> None:
    config = optimizers.build(Named(name=name, **BASE_KNOBS), model).get_config()
    assert {key: config[key] for key in BASE_KNOBS} == BASE_KNOBS
    for key, value in optimizers.complete(Named(name=name)).params.items():
        with pytest.raises(RecipeError, match=f"not a parameter of {name}; did you mean '{key}'"):
            optimizers.complete(Named(name=name, **{f"{key}x": value}))
        with pytest.raises(RecipeError, match=rf"optimizer\.{key} = .* is wrong"):
            optimizers.complete(Named(name=name, **{key: {"a": "table"}}))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learning_rate": 0}, "learning_rate = 0 is wrong: input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan is wrong: input should be finite"),
        ({"learning_rate": "none"}, 'learning_rate = "none" is wrong'),
        ({"beta_1": True}, "beta_1 = True is wrong"),
        ({"clipnorm": 0.0}, "clipnorm = 0.0 is wrong"),
        ({"gradient_accumulation_steps": 1}, "greater than or equal to 2"),
        ({"ema_overwrite_frequency": 0}, "ema_overwrite_frequency = 0 is wrong"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "Adam refuses these settings: Only one of"),
    ],
)
def test_refuses_values_that_cannot_train(params: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        optimizers.complete(Named(name="adam", **params))
    assert "\n" not in str(raised.value)


def test_refuses_a_pattern_that_is_none() -> None:
    with pytest.raises(RecipeError, match=r"'\(' is not a regular expression"):
        optimizers.complete(Named(name="muon", exclude_layers=["("]))


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(EVERY),
    rate=st.floats(1e-12, 1e3),
    decay=st.none() | st.floats(0, 1),
    ema=st.booleans(),
)
def test_completed_settings_are_complete_and_survive_toml(
    name: str, rate: float, decay: float | None, ema: bool
) -> None:
    params: dict[str, Any] = {"learning_rate": rate, "use_ema": ema}
    if name != "AdamW" or decay is not None:
        params["weight_decay"] = "none" if decay is None else decay
    completed = optimizers.complete(Named(name=name, **params))
    text = tomli_w.dumps(completed.model_dump())
    again = Named(**tomllib.loads(text))
    assert again == completed == optimizers.complete(again)


def test_learning_rate_given_at_build_replaces_the_settings(model: keras.Model) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert optimizers.build(Named(name="sgd"), model, schedule)._learning_rate is schedule
    built = optimizers.build(Named(name="sgd"), model, 0.25)
    assert float(built.learning_rate) == 0.25


def test_schedules_count_batches_even_when_gradients_accumulate(model: keras.Model) -> None:
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0)
    optimizer = optimizers.build(Named(name="sgd", gradient_accumulation_steps=2), model, schedule)
    optimizer.build(model.trainable_variables)
    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    changes = []
    for _ in range(4):
        after, state = optimizer.stateless_apply(
            state, [jnp.ones_like(w) for w in weights], weights
        )
        changes.append(float(weights[0][0, 0] - after[0][0, 0]))
        weights = after
    np.testing.assert_allclose(changes, [0, 0.9, 0, 0.7], atol=1e-6)


@pytest.mark.parametrize("excluded", [{}, {"exclude_layers": ["dense_1"]}, {"exclude_layers": []}])
def test_muon_orthogonalises_every_matrix_but_the_excluded(
    excluded: Any, model: keras.Model
) -> None:
    """The first step of AdamW has the learning rate's size in every entry; Muon's has not."""
    settings = Named(name="muon", weight_decay=0.0, adam_weight_decay=0.0, **excluded)
    hidden, _, output, _ = one_step(optimizers.build(settings, model, 0.01), model)
    by_adamw = [np.allclose(np.abs(change), 0.01, rtol=1e-3) for change in (hidden, output)]
    expected = {"none": [False, True], "dense_1": [True, False], "": [False, False]}
    assert by_adamw == expected["".join(excluded.get("exclude_layers", ["none"]))]
    if not by_adamw[0]:
        singular = np.linalg.svd(hidden, compute_uv=False)
        assert singular.max() / singular.min() < 2  # that of the gradient is above 5


def test_two_optimizers_in_one_process_have_the_same_names(model: keras.Model) -> None:
    paths = []
    for _ in range(2):
        built = optimizers.build(Named(name="adam"), model)
        built.build(model.trainable_variables)
        paths.append([v.path for v in built.variables])
    assert paths[0] == paths[1]


def test_schedule_free_average_is_the_mean_of_the_plain_iterates(model: keras.Model) -> None:
    """x after t steps is the mean of z_1 ... z_t: the method's definition."""
    optimizer = optimizers.build(Named(name="ScheduleFreeAdamW"), model, 0.1)
    optimizer.build(model.trainable_variables)
    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    where = [id(v) for v in optimizer.variables].index(id(optimizer._momentums[0]))
    start: Any = optimizers.averaged_weights(optimizer, weights, state)
    np.testing.assert_allclose(start[0], weights[0], atol=1e-6)
    iterates = []
    for step in range(5):
        gradients = [jax.random.normal(jax.random.key(step), w.shape) for w in weights]
        weights, state = optimizer.stateless_apply(state, gradients, weights)
        iterates.append(state[where])
    averaged: Any = optimizers.averaged_weights(optimizer, weights, state)
    np.testing.assert_allclose(averaged[0], np.mean(iterates, axis=0), atol=1e-5)
    assert not np.allclose(averaged[0], weights[0], atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"name": "adam"}, {"name": "schedulefreeadamw", "use_ema": True}]
)
def test_other_optimizers_have_no_average_of_this_kind(settings: Any, model: keras.Model) -> None:
    assert optimizers.averaged_weights(optimizers.build(Named(**settings), model), [], []) is None


@pytest.mark.parametrize("name", sorted({*EVERY} - {"ScheduleFreeAdamW"}))
def test_the_average_of_a_recipe_is_the_exponential_one_by_hand(
    name: str, model: keras.Model
) -> None:
    optimizer = optimizers.build(Named(name=name), model, 0.1, average=Average(momentum=0.8))
    optimizer.build(model.trainable_variables)
    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in optimizer.variables]
    expected: Any = None
    for step in range(4):
        gradients = [jax.random.normal(jax.random.key(step), w.shape) for w in weights]
        weights, state = optimizer.stateless_apply(state, gradients, weights)
        last = np.asarray(weights[0])
        expected = last if expected is None else 0.8 * expected + 0.2 * last
    averaged: Any = optimizers.averaged_weights(optimizer, weights, state)
    np.testing.assert_allclose(averaged[0], expected, atol=1e-6)
    assert not np.allclose(averaged[0], last, atol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"name": "adam", "use_ema": True},
        {"name": "adam", "ema_momentum": 0.9},
        {"name": "sgd", "ema_overwrite_frequency": 10},
        {"name": "ScheduleFreeAdamW"},
    ],
)
def test_two_averages_of_the_weights_are_refused(
    params: dict[str, Any], model: keras.Model
) -> None:
    with pytest.raises(RecipeError, match="average=none") as raised:
        optimizers.build(Named(**params), model, 0.1, average=Average())
    assert len(str(raised.value).splitlines()) == 1
    optimizers.build(Named(**params), model, 0.1)
