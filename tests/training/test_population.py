"""A member of a population is trained as it would be alone."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest
from tests.helpers import own_emitters

from mlplab import models
from mlplab.augment.pipeline import Augmentation
from mlplab.errors import TrainingError
from mlplab.models.layers.inputs import scaling_layer
from mlplab.optim.warmup import WarmupCosine
from mlplab.recipes.networks.mlp import MLP
from mlplab.recipes.recipe import Augment
from mlplab.training import engine, population
from mlplab.training.arrays import Arrays
from mlplab.training.plan import Control, Fit, NoProgress, Plan, Row, TrainingData, TrainingSchedule

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (360, 6, 6, 1), dtype=np.uint8)
Y = (X.mean((1, 2, 3)) > 127.5).astype(np.int32) + RNG.integers(0, 2, 360).astype(np.int32)
SHARED = Arrays(jnp.asarray(X), jnp.asarray(Y))
SEEDS = (0, 1, 2)
Rate = Callable[[float], Any]

schedules = keras.optimizers.schedules


def member(seed: int, rate: Rate, optimizer: str = "AdamW") -> tuple[keras.Model, Any, Any]:
    """Return a model and its rows of training and of validation, all decided by the seed."""
    order = np.random.default_rng(seed).permutation(len(X)).astype(np.int32)
    train, validation = np.sort(order[60:]), np.sort(order[:60])
    seen = X[train]
    scaling = scaling_layer("standard", seen.mean((0, 1, 2)), seen.var((0, 1, 2)))
    settings = MLP(hidden=[16], dropout=0.3, normalisation="batch")
    model = models.build(settings, models.Task((6, 6, 1), 3, scaling, seed))
    built = getattr(keras.optimizers, optimizer)(rate(0.002 * (seed + 1)), use_ema=True)
    built.judged_at_average = True
    model.compile(built, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, train, validation


def plan(train: Arrays, validation: Arrays, seed: int, **changes: Any) -> Plan:
    weights = np.random.default_rng(seed).random(3).astype(np.float32)
    augment = Augmentation(Augment(flip="random", shift=1), seed)
    controls = ("callbacks", "should_stop", "epoch_metrics")
    control = {key: changes.pop(key) for key in controls if key in changes}
    data: dict[str, Any] = {"class_weights": weights, "augment": augment}
    data |= {key: changes.pop(key) for key in data if key in changes}
    schedule = {"epochs": 4, "batch_size": 30, "seed": seed} | changes
    return Plan(
        data=TrainingData(train=train, validation=validation, **data),
        schedule=TrainingSchedule(**schedule),
        control=Control(**control),
    )


def together(
    mode: population.Mode, rate: Rate, callbacks: Any = list, **changes: Any
) -> tuple[list[keras.Model], list[Fit]]:
    members = [member(seed, rate) for seed in SEEDS]
    plans = [
        plan(
            Arrays(SHARED.x, SHARED.y, jnp.asarray(train)),
            Arrays(SHARED.x, SHARED.y, jnp.asarray(held_out)),
            seed,
            callbacks=callbacks(),
            **changes,
        )
        for seed, (_, train, held_out) in zip(SEEDS, members, strict=True)
    ]
    models = [model for model, _, _ in members]
    return models, population.fit(models, plans, mode)


def alone(seed: int, rate: Rate, callbacks: Any = list, **changes: Any) -> tuple[keras.Model, Fit]:
    model, train, held_out = member(seed, rate)
    seen, validation = (Arrays(SHARED.x[rows], SHARED.y[rows]) for rows in (train, held_out))
    chosen = plan(seen, validation, seed, callbacks=callbacks(), **changes)
    return model, engine.fit(model, chosen)


def untimed(fit: Fit) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in fit.rows]


def stopping() -> list[keras.callbacks.Callback]:
    return [keras.callbacks.EarlyStopping("val_loss", patience=0, restore_best_weights=True)]


@pytest.mark.parametrize(
    ("rate", "batch_size", "seeds"),
    [
        (lambda rate: rate, 32, (0, 2)),  # the last batch of an epoch is smaller
        pytest.param(
            lambda rate: schedules.CosineDecay(rate, 40, alpha=0.1),
            30,
            (2,),
            marks=pytest.mark.torture,
        ),
        (lambda rate: WarmupCosine(rate, 1.0, 1e-4, steps_per_epoch=10, epochs=4), 30, (2,)),
    ],
    ids=["constant", "CosineDecay", "WarmupCosine"],
)
def test_mapped_members_have_the_bits_of_runs_alone(
    rate: Rate, batch_size: int, seeds: tuple[int, ...]
) -> None:
    with own_emitters():
        models, fits = together("map", rate, stopping, batch_size=batch_size)
        singles = [alone(seed, rate, stopping, batch_size=batch_size) for seed in seeds]
    for seed, (single, expected) in zip(seeds, singles, strict=True):
        assert untimed(fits[seed]) == untimed(expected)
        assert fits[seed].ending == expected.ending
        for mine, other in zip(models[seed].get_weights(), single.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_vectorised_members_have_the_loss_of_runs_alone_after_100_steps() -> None:
    def rate(rate: float) -> Any:
        return WarmupCosine(rate, 1.0, 1e-4, steps_per_epoch=10, epochs=10)

    _, fits = together("vmap", rate, epochs=10)
    _, expected = alone(2, rate, epochs=10)
    for mine, other in zip(untimed(fits[2]), untimed(expected), strict=True):
        assert mine == pytest.approx(other, abs=1e-3)


class Until(keras.callbacks.Callback):
    """Ends training after as many epochs as there were members before."""

    count = 0

    def __init__(self) -> None:
        super().__init__()
        self.last = Until.count
        Until.count += 1

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        self.model.stop_training = epoch >= self.last


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_members_end_by_themselves_and_keep_the_weights_of_that_moment(
    mode: population.Mode,
) -> None:
    Until.count = 0
    models, fits = together(mode, lambda rate: rate, lambda: [Until()])
    assert [len(fit.rows) for fit in fits] == [1, 2, 3]
    assert {fit.ending for fit in fits} == {"callback"}
    single, _ = alone(1, lambda rate: rate, epochs=2)
    for mine, other in zip(models[1].get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_a_member_that_diverges_leaves_the_others_alone(mode: population.Mode) -> None:
    def rate(rate: float) -> float:
        return 1e30 if rate == 0.004 else rate  # the second member's

    _, fits = together(mode, rate, epochs=2)
    assert [fit.ending for fit in fits] == ["epochs", "diverged", "epochs"]
    assert all(np.isfinite(list(row.values())).all() for row in fits[2].rows)


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_an_interruption_ends_all(mode: population.Mode) -> None:
    _, fits = together(mode, lambda rate: rate, should_stop=lambda: True)
    assert {fit.ending for fit in fits} == {"interrupted"}


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_progress_reaches_the_end_of_each_epoch_once_and_rows_are_means(
    mode: population.Mode,
) -> None:
    heard: list[tuple[int, int, int]] = []
    rows: list[Row] = []

    class Listening(NoProgress):
        def on_steps(self, epoch: int, done: int, total: int, logs: Row) -> None:
            heard.append((epoch, done, total))

        def on_row(self, row: Row) -> None:
            rows.append(row)

    members = [member(seed, lambda rate: rate) for seed in (0, 1)]
    measured: list[Row] = [{"share": 1.0, "spread": 2.0}, {"spread": 4.0}]  # no share: a dead one
    plans = [
        plan(
            Arrays(SHARED.x, SHARED.y, jnp.asarray(train)),
            SHARED,
            seed,
            epochs=2,
            epoch_metrics=lambda model, seed=seed: measured[seed],
        )
        for seed, (_, train, _) in enumerate(members)
    ]
    fits = population.fit([model for model, _, _ in members], plans, mode, Listening())
    assert [epoch for epoch, done, total in heard if done == total] == [1, 2]
    losses = [fit.rows[1]["loss"] for fit in fits]
    assert rows[1]["loss"] == pytest.approx(np.mean(losses))
    assert rows[1]["spread"] == 3
    assert "share" not in rows[1]


def test_callbacks_with_hooks_on_batches_are_refused() -> None:
    with pytest.raises(TrainingError, match="has hooks on the batches"):
        together(
            "map",
            lambda rate: rate,
            lambda: [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)],
        )


def test_wide_networks_are_mapped_and_narrow_ones_vectorised_on_a_cpu() -> None:
    assert population.choose_mode([1024, 64]) == "map"
    assert population.choose_mode([128, 128]) == "vmap"
    assert population.choose_mode([]) == "vmap"
