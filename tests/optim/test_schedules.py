import inspect
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplab.errors import RecipeError
from mlplab.optim import schedules
from mlplab.recipes.schema import Named

NEEDED: dict[str, dict[str, Any]] = {
    "ExponentialDecay": {"decay_rate": 0.5},
    "InverseTimeDecay": {"decay_rate": 1},
    "PiecewiseConstantDecay": {"boundaries": [10, 20], "values": [0.1, 0.01, 0]},
}
EVERY = [Named(name=name, **NEEDED.get(name, {})) for name in sorted(schedules.SCHEDULES)]


def rates(schedule: Named, *steps: int) -> list[float]:
    """Rates at steps of a training of 3 epochs of 10 steps, the optimizer's rate being 0.1."""
    built = schedules.build(schedule, 0.1, 10, 3)
    return [round(float(built(step)), 6) for step in steps]


def test_every_schedule_of_keras_is_there() -> None:
    public = {
        name
        for name, value in vars(keras.optimizers.schedules).items()
        if inspect.isclass(value) and name != "LearningRateSchedule"
    }
    assert set(schedules.SCHEDULES) - public == {"WarmupCosine", "WarmupLinear"}
    assert public <= set(schedules.SCHEDULES)


@pytest.mark.parametrize("table", EVERY, ids=lambda t: t.name)
def test_completing_twice_changes_nothing_and_a_saved_schedule_comes_back(table: Named) -> None:
    completed = schedules.complete(table, 0.1)
    assert schedules.complete(completed, 0.7) == completed
    schedule = schedules.build(completed, 0.7, 10, 3)
    saved = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(saved)
    assert again.get_config() == schedule.get_config()
    assert float(again(13)) == float(schedule(13))


def test_steps_left_out_mean_the_whole_training() -> None:
    assert rates(Named(name="cosine_decay"), 0, 15, 30) == [0.1, 0.05, 0.0]
    assert rates(Named(name="ExponentialDecay", decay_rate=0.5), 0, 30) == [0.1, 0.05]
    assert rates(Named(name="InverseTimeDecay", decay_rate=1), 0, 30) == [0.1, 0.05]
    linear = Named(name="PolynomialDecay", end_learning_rate=0, decay_steps="none")
    assert rates(linear, 0, 15, 30) == [0.1, 0.05, 0.0]
    assert rates(Named(name="CosineDecayRestarts"), 0, 15) == [0.1, 0.05]


def test_steps_given_are_kept() -> None:
    assert rates(Named(name="CosineDecay", decay_steps=10), 5, 10, 30) == [0.05, 0.0, 0.0]


def test_cosine_decay_leaves_its_warmup_out_of_the_decay() -> None:
    table = Named(name="CosineDecay", initial_learning_rate=0, warmup_target=1, warmup_steps=10)
    assert rates(table, 0, 5, 10, 20, 30) == [0.0, 0.5, 1.0, 0.5, 0.0]


def test_piecewise_constant_takes_lists() -> None:
    table = Named(name="PiecewiseConstantDecay", boundaries=[10, 20], values=[1, 0.5, 0.1])
    assert rates(table, 0, 10, 11, 21) == [1.0, 1.0, 0.5, 0.1]


def test_warmup_rises_from_the_first_step_and_decays_to_the_end() -> None:
    linear = Named(name="WarmupLinear", warmup_epochs=1, final_learning_rate=0.02)
    assert rates(linear, 0, 9, 10, 20, 30, 99) == [0.01, 0.1, 0.1, 0.06, 0.02, 0.02]
    cosine = Named(name="warmup_cosine", peak_learning_rate=1.0)
    assert rates(cosine, 0, 10, 15, 20, 30) == [0.1, 1.0, 0.853553, 0.5, 0.0]
    half = Named(name="warmup_linear", warmup_epochs=0.5)
    assert rates(half, 0, 4, 5) == [0.02, 0.1, 0.1]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["WarmupLinear", "WarmupCosine"]),
    warmup=st.floats(0, 2.8),
    final=st.floats(0, 0.1),
)
def test_warmup_schedules_rise_then_fall_between_their_ends(
    name: str, warmup: float, final: float
) -> None:
    table = Named(name=name, warmup_epochs=warmup, final_learning_rate=final)
    schedule = schedules.build(table, 0.1, 4, 3)
    values = [float(schedule(step)) for step in range(13)]
    peak = max(schedule.warmup_steps - 1, 0)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[0] > 0
    assert max(values) == pytest.approx(0.1)
    assert values[12] == pytest.approx(final, abs=1e-7)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "CosinDecay"}, "schedule.name = 'CosinDecay' is not known.*'CosineDecay'"),
        ({"name": "CosineDecay", "decay_step": 3}, "'schedule.decay_step' .*'decay_steps'"),
        ({"name": "CosineDecay", "decay_steps": 0}, "decay_steps = 0 is wrong"),
        ({"name": "CosineDecay", "decay_steps": 2.5}, "decay_steps = 2.5 is wrong"),
        ({"name": "CosineDecay", "warmup_steps": 5}, "nothing without schedule.warmup_target"),
        ({"name": "CosineDecay", "warmup_steps": 30, "warmup_target": 1}, "leaves no steps"),
        ({"name": "ExponentialDecay"}, "'schedule.decay_rate' is missing"),
        ({"name": "PiecewiseConstantDecay", "boundaries": [1], "values": [1]}, "1 less than"),
        (
            {"name": "PiecewiseConstantDecay", "boundaries": [2, 2], "values": [3, 2, 1]},
            "must increase",
        ),
        ({"name": "WarmupLinear", "warmup_epochs": 3}, "must be less than training.epochs = 3"),
        ({"name": "WarmupLinear", "final_learning_rate": 1}, "not be above the peak, 0.1"),
        ({"name": "WarmupLinear", "epochs": 3}, "'schedule.epochs' is not a parameter"),
    ],
)
def test_refuses_what_does_not_fit(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        schedules.build(Named(**table), 0.1, 10, 3)
