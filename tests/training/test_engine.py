"""The engine computes what Keras's ``fit`` computes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplab.augment.pipeline import Augmentation
from mlplab.errors import TrainingError
from mlplab.optim.optimizers import OPTIMIZERS, averaged_weights
from mlplab.recipes.recipe import Augment
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Control, NoProgress, Plan, Row, TrainingData, TrainingSchedule
from mlplab.training.steps import CompiledSteps, batches, evaluate

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (203, 4, 4, 1), dtype=np.uint8)
Y = RNG.integers(0, 3, 203).astype(np.int32)
DATA = Arrays(jnp.asarray(X), jnp.asarray(Y))
VALIDATION = Arrays(DATA.x[:50], DATA.y[:50])

KNOBS: list[dict[str, Any]] = [
    {"weight_decay": 0.01},
    {"clipnorm": 0.1},
    {"clipvalue": 0.01},
    {"global_clipnorm": 0.1},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    {"loss_scale_factor": 128.0},
    {"gradient_accumulation_steps": 3},
    {"learning_rate": keras.optimizers.schedules.CosineDecay(0.01, 60)},
]


def make(
    optimizer: keras.optimizers.Optimizer, dropout: float = 0.0, normalise: bool = False
) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1.0)(inputs))
    x = keras.layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3))(x)
    if normalise:
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(dropout)(x)
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def assert_same_as_fit(
    build: Callable[[], keras.Model],
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list,
    epochs: int = 2,
    class_weight: dict[int, float] | None = None,
    steps_alone: bool = False,
) -> None:
    """Compare weights and history; ``steps_alone`` leaves out what compiles more programs.

    Those are validation and a last batch that is smaller: 50 steps are left, in 2 epochs.
    """
    n = 200 if steps_alone else 203
    ours, theirs = build(), build()
    result = fit(
        ours,
        Plan(
            data=TrainingData(
                train=Arrays(DATA.x[:n], DATA.y[:n]),
                validation=None if steps_alone else VALIDATION,
                class_weights=np.array(list(class_weight.values()), np.float32)
                if class_weight
                else None,
            ),
            schedule=TrainingSchedule(epochs=epochs, batch_size=8, shuffle=False),
            control=Control(callbacks=callbacks()),
        ),
    )
    history = theirs.fit(
        X[:n],
        Y[:n],
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=None if steps_alone else (X[:50], Y[:50]),
        callbacks=callbacks(),
        class_weight=class_weight,
    ).history
    assert len(result.rows) == len(history["loss"])
    for key in set(history) - {"learning_rate"}:
        np.testing.assert_allclose([row[key] for row in result.rows], history[key], atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


# ScheduleFreeAdamW is evaluated elsewhere than fit does, on purpose: it has tests of its own.
@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"ScheduleFreeAdamW"}))
def test_equals_fit_for_every_optimizer(name: str) -> None:
    assert_same_as_fit(lambda: make(OPTIMIZERS[name](learning_rate=0.003)), steps_alone=True)


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: "-".join(knob))
def test_equals_fit_for_every_knob_of_the_base_optimizer(knob: dict[str, Any]) -> None:
    settings = {"learning_rate": 0.01, **knob}
    assert_same_as_fit(lambda: make(keras.optimizers.Adam(**settings)), steps_alone=True)


def test_equals_fit_with_dropout_and_batch_normalisation() -> None:
    assert_same_as_fit(lambda: make(keras.optimizers.Adam(0.01), dropout=0.5, normalise=True))


def test_equals_fit_with_class_weights() -> None:
    weights = {0: 0.5, 1: 2.0, 2: 1.0}
    assert_same_as_fit(lambda: make(keras.optimizers.Adam(0.01)), class_weight=weights)


@pytest.mark.parametrize(
    "callbacks",
    [
        lambda: [
            keras.callbacks.EarlyStopping(
                "val_loss", min_delta=0.5, patience=2, restore_best_weights=True
            )
        ],
        lambda: [keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.5)],
        lambda: [keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))],
        lambda: [keras.callbacks.TerminateOnNaN()],
    ],
    ids=["EarlyStopping", "ReduceLROnPlateau", "LearningRateScheduler", "TerminateOnNaN"],
)
def test_equals_fit_under_callbacks(
    callbacks: Callable[[], list[keras.callbacks.Callback]],
) -> None:
    assert_same_as_fit(lambda: make(keras.optimizers.Adam(0.01)), callbacks, epochs=5)


def test_equals_fit_when_averages_are_swapped_in() -> None:
    assert_same_as_fit(
        lambda: make(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)),
        lambda: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
        epochs=3,
    )


def test_schedule_free_is_judged_at_its_average_and_trained_at_its_own_weights() -> None:
    ours = make(keras.optimizers.ScheduleFreeAdamW(0.01))
    theirs = make(keras.optimizers.ScheduleFreeAdamW(0.01))
    result = fit(
        ours,
        Plan(
            data=TrainingData(train=DATA, validation=VALIDATION),
            schedule=TrainingSchedule(epochs=3, batch_size=8, shuffle=False),
        ),
    )
    theirs.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    average = averaged_weights(
        theirs.optimizer,
        [v.value for v in theirs.trainable_variables],
        [v.value for v in theirs.optimizer.variables],
    )
    assert average is not None
    for mine, other in zip(ours.trainable_variables, average, strict=True):
        np.testing.assert_allclose(mine.value, other, atol=1e-5)
    theirs.set_weights(ours.get_weights())
    judged = theirs.evaluate(X[:50], Y[:50], verbose=0, return_dict=True)
    assert result.rows[-1]["val_loss"] == pytest.approx(judged["loss"], abs=1e-5)


class CountBatches(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(batch)


class Notes(NoProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def test_a_callback_on_batches_hears_every_batch_and_a_note_names_it() -> None:
    counter, progress = CountBatches(), Notes()
    fit(
        make(keras.optimizers.Adam()),
        Plan(
            data=TrainingData(train=DATA),
            schedule=TrainingSchedule(batch_size=50),
            control=Control(callbacks=[counter], progress=progress),
        ),
    )
    assert counter.seen == [0, 1, 2, 3, 4]
    assert "CountBatches" in progress.notes[0]


def test_going_batch_by_batch_computes_the_same() -> None:
    assert_same_as_fit(
        lambda: make(keras.optimizers.Adam(0.01), dropout=0.3), lambda: [CountBatches()]
    )


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    def rows(seed: int) -> list[float]:
        model = make(keras.optimizers.Adam(0.01), dropout=0.2)
        plan = Plan(
            data=TrainingData(train=DATA, validation=VALIDATION),
            schedule=TrainingSchedule(epochs=2, batch_size=8, seed=seed),
        )
        return [row["val_loss"] for row in fit(model, plan).rows]

    assert rows(3) == rows(3)
    assert rows(3) != rows(4)


def test_stopping_leaves_a_model_that_can_be_used() -> None:
    model = make(keras.optimizers.Adam(0.01))
    result = fit(
        model,
        Plan(
            data=TrainingData(train=DATA),
            schedule=TrainingSchedule(epochs=5, batch_size=8),
            control=Control(should_stop=lambda: True),
        ),
    )
    assert result.ending == "interrupted"
    assert result.rows == []
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    model = make(keras.optimizers.SGD(1e30))
    result = fit(
        model,
        Plan(data=TrainingData(train=DATA), schedule=TrainingSchedule(epochs=5, batch_size=8)),
    )
    assert result.ending == "diverged"
    assert len(result.rows) == 1


def test_terminate_on_nan_may_raise() -> None:
    guard = keras.callbacks.TerminateOnNaN(raise_error=True)
    with pytest.raises(TrainingError, match="finite"):
        fit(
            make(keras.optimizers.SGD(1e30)),
            Plan(data=TrainingData(train=DATA), control=Control(callbacks=[guard])),
        )


def test_evaluation_takes_every_example_and_leaves_the_weights() -> None:
    model = make(keras.optimizers.Adam())
    model._symbolic_build(data_batch=(DATA.x[:2], DATA.y[:2]))
    before = model.get_weights()
    logs = evaluate(CompiledSteps(model, "test"), DATA, batch_size=64)
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert logs["accuracy"] == pytest.approx(expected["accuracy"])
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_program_that_was_prepared_is_not_compiled_again() -> None:
    model = make(keras.optimizers.Adam())
    model._symbolic_build(data_batch=(DATA.x[:2], DATA.y[:2]))
    steps, rows = CompiledSteps(model, "test"), np.arange(50, dtype=np.int32)
    steps.prepared(VALIDATION, batches(rows, 50)[0])()
    evaluate(steps, VALIDATION, batch_size=50)
    assert steps.compile_seconds == 0
    evaluate(steps, VALIDATION, batch_size=25)
    assert steps.compile_seconds > 0


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin", "on_test_begin"])
def test_what_a_callback_changes_before_steps_is_what_they_compute(hook: str) -> None:
    class Answer(keras.layers.Layer):
        seen = 0.0

        def call(self, inputs: jax.Array) -> jax.Array:
            return inputs * 0 + jax.nn.one_hot(0, 3) * self.seen

    def tell(*given: Any, **more: Any) -> None:
        answer.seen = 5.0

    answer, flat = Answer(), keras.layers.Flatten()
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, answer(keras.layers.Dense(3)(flat(inputs))))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])

    teller = type("Tell", (keras.callbacks.Callback,), {hook: tell})
    data = TrainingData(train=DATA, validation=VALIDATION)
    (row,) = fit(model, Plan(data=data, control=Control(callbacks=[teller()]))).rows
    told = math.log(math.exp(5) + 2) - 5 * np.mean(Y[:50] == 0)
    assert row["val_loss"] == pytest.approx(told, abs=1e-4)


@given(n=st.integers(1, 400), batch_size=st.integers(1, 500))
def test_batches_take_every_example_once(n: int, batch_size: int) -> None:
    parts = batches(np.random.default_rng(n).permutation(np.arange(n, dtype=np.int32)), batch_size)
    assert sorted(np.concatenate([part.ravel() for part in parts])) == list(range(n))
    assert all(part.shape[1] == batch_size for part in parts[:-1])


def test_augmentation_knows_image_and_epoch_is_compiled_once_and_spares_validation() -> None:
    traces = 0

    class DarkFromTheSecondEpoch(Augmentation):
        def __call__(
            self,
            images: jax.Array,
            labels: jax.Array,
            rows: jax.Array,
            epoch: jax.Array,
            table: Any = None,
        ) -> tuple[jax.Array, jax.Array]:
            nonlocal traces
            traces += 1
            return jnp.where(epoch > 0, jnp.uint8(0), DATA.x[rows]), labels

    dark = DarkFromTheSecondEpoch(Augment(), seed=0)

    def rows(augment: Augmentation | None, epochs: int) -> list[Row]:
        plan = Plan(
            data=TrainingData(
                train=Arrays(DATA.x[:200], DATA.y[:200]), validation=VALIDATION, augment=augment
            ),
            schedule=TrainingSchedule(epochs=epochs, batch_size=8),
        )
        return fit(make(keras.optimizers.SGD(0.0)), plan).rows

    plain, changed = rows(None, 1), rows(dark, 1)
    once, traces = traces, 0
    longer = rows(dark, 3)
    assert traces == once
    assert changed[0]["loss"] == plain[0]["loss"] != longer[1]["loss"]
    assert {row["val_loss"] for row in longer} == {plain[0]["val_loss"]}
