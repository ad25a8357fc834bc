"""The user's own networks and callbacks compute and see what they would under ``fit``."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from mlplab.models.conversion import fast_layers
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Control, Plan, TrainingData, TrainingSchedule
from mlplab.training.population import fit as fit_population

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (72, 8, 8, 3), dtype=np.uint8)
Y = RNG.integers(0, 3, 72).astype(np.int32)
DATA = Arrays(jnp.asarray(X), jnp.asarray(Y))
HELD_OUT = Arrays(DATA.x[:40], DATA.y[:40])


class Block(keras.layers.Layer):
    """A layer of the user's own, with layers inside that no copy of the graph would reach."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = keras.layers.Conv2D(4, 3, padding="same", strides=2, activation="relu")
        self.pool = keras.layers.MaxPooling2D()

    def call(self, inputs: Any) -> Any:
        return self.pool(self.wide(inputs))


class SumOfActivations(keras.layers.Layer):
    """Adds a loss that is a sum over the batch, not a mean."""

    def call(self, inputs: Any) -> Any:
        self.add_loss(1e-3 * keras.ops.sum(inputs))
        return inputs


def convolutional(**compiling: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((8, 8, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.DepthwiseConv2D(3, padding="same"),
        keras.layers.Conv2D(5, (1, 3), dilation_rate=1, padding="same"),
        keras.layers.Conv2D(8, 1, use_bias=False),
        Block(),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return compiled(keras.Sequential(layers), **compiling)


def small(*, layer: keras.layers.Layer | None = None, **compiling: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Dense(4, activation="relu")(
        keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    )
    x = x if layer is None else layer(x)
    model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))
    return compiled(model, **compiling)


def compiled(model: keras.Model, **compiling: Any) -> keras.Model:
    settings = {"optimizer": keras.optimizers.Adam(0.01), "metrics": ["accuracy"], **compiling}
    model.compile(loss="sparse_categorical_crossentropy", **settings)
    return model


def plan(epochs: int, *callbacks: keras.callbacks.Callback) -> Plan:
    return Plan(
        data=TrainingData(train=DATA, validation=HELD_OUT),
        schedule=TrainingSchedule(epochs=epochs, batch_size=8, shuffle=False),
        control=Control(callbacks=callbacks),
    )


def keras_fit(
    model: keras.Model, epochs: int, *callbacks: keras.callbacks.Callback
) -> dict[str, list[float]]:
    result: dict[str, list[float]] = model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=(X[:40], Y[:40]),
        validation_batch_size=8,
        callbacks=list(callbacks),
    ).history
    return result


def test_convolutions_of_an_own_network_train_as_in_fit_and_stay_keras_layers() -> None:
    ours, theirs = convolutional(), convolutional()
    rows, history = fit(ours, plan(2)).rows, keras_fit(theirs, 2)
    for key in history:
        np.testing.assert_allclose([row[key] for row in rows], history[key], atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    kinds = {type(layer).__module__.partition(".")[0] for layer in ours._flatten_layers()}
    assert "mlplab" not in kinds


def test_convolutions_of_raw_pixels_train_as_in_fit() -> None:
    def raw() -> keras.Model:
        keras.utils.set_random_seed(1)
        layers = [
            keras.Input((8, 8, 3), dtype="uint8"),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(3, activation="softmax"),
        ]
        return compiled(keras.Sequential(layers))

    rows, history = fit(raw(), plan(1)).rows, keras_fit(raw(), 1)
    assert rows[0]["loss"] == pytest.approx(history["loss"][0], abs=1e-5)


def test_layers_that_ours_cannot_replace_are_left_alone() -> None:
    layers = [
        keras.layers.Conv2D(4, 3, dtype="mixed_float16"),
        keras.layers.Conv2D(4, 3, dilation_rate=2),
        keras.layers.Conv2D(4, (1, 3)),
        keras.layers.Conv2D(4, 3),
    ]
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    with fast_layers(model):
        kinds = [type(layer).__module__.partition(".")[0] for layer in model.layers]
    assert kinds == ["keras", "keras", "keras", "mlplab"]
    assert {type(layer) for layer in model.layers} == {keras.layers.Conv2D}


def test_a_loss_that_is_not_a_mean_over_images_is_validated_as_in_fit() -> None:
    rows = fit(small(layer=SumOfActivations()), plan(2)).rows
    history = keras_fit(small(layer=SumOfActivations()), 2)
    assert [row["val_loss"] for row in rows] == pytest.approx(history["val_loss"], abs=1e-5)


class StopsFirst(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch == 2


@pytest.mark.parametrize("mode", ["single", "map", "vmap"])
def test_stopping_at_the_start_of_an_epoch_takes_one_more_step_as_in_fit(mode: Any) -> None:
    ours, theirs = small(), small()
    if mode == "single":
        fit(ours, plan(5, StopsFirst()))
    else:
        fit_population([ours, small()], [plan(5, StopsFirst()), plan(5)], mode)
    keras_fit(theirs, 5, StopsFirst())
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations) == 2 * 9 + 1


class Logs(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.keys = set(logs)


@pytest.mark.parametrize("scheduled", [False, True])
def test_the_logs_of_an_epoch_have_the_keys_of_fit(scheduled: bool) -> None:
    ours, theirs = Logs(), Logs()
    rate = [keras.callbacks.LearningRateScheduler(lambda epoch: 0.01)] * scheduled
    row = fit(small(), plan(1, *rate, ours)).rows[0]
    keras_fit(small(), 1, *rate, theirs)
    assert ours.keys == theirs.keys
    assert "learning_rate" in row


class Breaks(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            raise InterruptedError


def test_backup_and_restore_continues_at_the_epoch_that_broke(tmp_path: Path) -> None:
    def backup() -> keras.callbacks.Callback:
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole, broken = small(), small()
    fit(whole, plan(3))
    with pytest.raises(InterruptedError):
        fit(broken, plan(3, backup(), Breaks()))
    again = small()
    rows = fit(again, plan(3, backup())).rows
    assert [row["epoch"] for row in rows] == [3]
    for mine, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_loss_scale_is_built_once_and_saved_with_its_state(tmp_path: Path) -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=64.0, dynamic_growth_steps=5
    )
    model = small(optimizer=optimizer)
    fit(model, plan(1))
    count = len(optimizer.variables)
    fit(model, plan(1))
    assert len(optimizer.variables) == count
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras").optimizer
    assert float(loaded.dynamic_scale) == float(optimizer.dynamic_scale) == 64.0 * 2**3
    assert int(loaded.iterations) == 18


def test_a_scaled_loss_trains_at_its_schedule_and_is_judged_at_its_average() -> None:
    def scaled() -> keras.optimizers.Optimizer:
        rate = keras.optimizers.schedules.CosineDecay(0.01, 30)
        inner = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.9)
        inner.judged_at_average = True
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)

    model = small(optimizer=scaled())
    rows = fit(model, plan(2)).rows
    assert rows[0]["learning_rate"] == pytest.approx(0.01)
    assert rows[1]["learning_rate"] < 0.009
    judged = model.evaluate(X[:40], Y[:40], verbose=0, return_dict=True)
    assert rows[-1]["val_loss"] == pytest.approx(judged["loss"], abs=1e-5)
