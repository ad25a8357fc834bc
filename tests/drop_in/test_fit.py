"""``mlplab.fit`` computes what ``keras.Model.fit`` computes, but for the rounding of sums."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mlplab

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 6)).astype("float32")
Y = RNG.integers(0, 3, 103)
Fit = Callable[..., keras.callbacks.History]
Make = Callable[[], keras.Model]


def plain(model: keras.Model, *given: Any, **named: Any) -> keras.callbacks.History:
    return model.fit(*given, **named)


def network(**compiled: Any) -> keras.Model:
    """Return a classifier with everything that is random or has a state of its own."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Dense(8, activation="relu"),
            L.BatchNormalization(),
            L.Dropout(0.3),
            L.Dense(3, activation="softmax"),
        ]
    )
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile("adam", **settings | compiled)
    return model


def both(make: Make, *given: Any, **named: Any) -> list[tuple[keras.Model, dict[str, Any]]]:
    """Train the same network with Keras and with mlplab; return model and history of each."""
    found = []
    for fit in (plain, mlplab.fit):
        keras.utils.set_random_seed(0)
        model = make()
        more = {key: value() if callable(value) else value for key, value in named.items()}
        found.append((model, fit(model, *given, **{"verbose": 0, "batch_size": 10} | more).history))
    return found


def assert_equal(pair: list[tuple[keras.Model, dict[str, Any]]]) -> None:
    (one, told), (other, said) = pair
    assert list(said) == list(told)
    for key, values in told.items():
        np.testing.assert_allclose(said[key], values, rtol=1e-5)
    mine = [*other.variables, *other.optimizer.variables]
    theirs = [*one.variables, *one.optimizer.variables]
    for here, there in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "validation": {"validation_data": (X[:31], Y[:31]), "validation_batch_size": 7},
    "class weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "validation_split": 0.2},
    "sample weights, in order": {"sample_weight": np.linspace(0, 1, 103), "shuffle": False},
    "shuffled within batches, from the second epoch on": {"shuffle": "batch", "initial_epoch": 1},
    "some steps": {"steps_per_epoch": 4},
    "some validation": {
        "validation_data": (X, Y),
        "validation_steps": 2,
        "validation_freq": 2,
    },
    "in hooks": {
        "callbacks": lambda: [
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
        ]
    },
    "callbacks": {
        "validation_split": 0.2,
        "callbacks": lambda: [
            keras.callbacks.EarlyStopping(patience=0, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(patience=0),
        ],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_and_logs_are_those_of_keras(form: str) -> None:
    assert_equal(both(network, X, Y, epochs=3, **FORMS[form]))


def two_inputs() -> keras.Model:
    one, other = keras.Input((6,), name="one"), keras.Input((2,), name="other")
    joined = L.Concatenate()([one, other])
    outputs = {"label": L.Dense(3, activation="softmax")(joined), "size": L.Dense(1)(joined)}
    model = keras.Model({"one": one, "other": other}, outputs)
    losses = {"label": "sparse_categorical_crossentropy", "size": "mean_squared_error"}
    model.compile("sgd", losses, metrics={"label": ["accuracy"]})
    return model


def test_dictionaries_of_inputs_and_outputs_are_trained() -> None:
    x = {"one": X, "other": X[:, :2].astype("float64")}
    assert_equal(both(two_inputs, x, {"label": Y, "size": X[:, 0]}, epochs=2))


def test_lists_of_numbers_are_arrays() -> None:
    x, y = X.tolist(), Y.tolist()
    keras.utils.set_random_seed(0)
    model = network()
    found = mlplab.fit(model, x, y, validation_data=(x, y), batch_size=10, verbose=0).history
    keras.utils.set_random_seed(0)
    known = network().fit(X, Y, validation_data=(X, Y), batch_size=10, verbose=0).history
    for key, values in known.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5)
    assert mlplab.evaluate(model, x, y, verbose=0) == mlplab.evaluate(model, X, Y, verbose=0)
    np.testing.assert_array_equal(mlplab.predict(model, x), mlplab.predict(model, X))


class Stateless(keras.Model):
    """A network with a step of its own, as Keras's guide for JAX writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, state: Any, data: Any) -> Any:
        logs, state = super().train_step(state, data)
        return {**logs, "twice": 2 * logs["loss"]}, state


def test_a_step_of_ones_own_is_taken() -> None:
    def make() -> keras.Model:
        model = Stateless()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        return model

    pair = both(make, X, Y, epochs=2)
    assert_equal(pair)
    assert pair[1][1]["twice"]


def test_convolutions_are_trained_as_by_keras() -> None:
    def make() -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                L.Conv2D(3, 3),
                L.MaxPooling2D(),
                L.Flatten(),
                L.Dense(3, activation="softmax"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    images = RNG.integers(0, 255, (103, 8, 8, 1)).astype("uint8")
    assert_equal(both(make, images / 255, Y, epochs=2))


def test_a_model_can_be_trained_on_and_by_keras_in_turn() -> None:
    model = network()
    mlplab.fit(model, X, Y, verbose=0)
    model.fit(X, Y, verbose=0)
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[top])
    assert list(mlplab.fit(model, X, Y, verbose=0).history) == ["loss", "top"]
    assert model.steps_per_execution == 1
    assert not {"_symbolic_build", "evaluate"} & set(vars(model))
    mlplab.fit(model, X.astype("float16"), Y, verbose=0)


def test_hooks_see_what_they_see_in_keras() -> None:
    def seen_by(fit: Fit) -> list[Any]:
        seen: list[Any] = []

        class Watcher(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                keys = sorted(logs)
                seen.append((epoch, keys, self.model.steps_per_execution, self.params["steps"]))
                seen.append(float(np.abs(self.model.get_weights()[0]).sum()))

        keras.utils.set_random_seed(0)
        fit(network(), X, Y, epochs=2, verbose=0, validation_split=0.5, callbacks=[Watcher()])
        return seen

    assert seen_by(mlplab.fit) == seen_by(plain)


def test_callbacks_evaluate_and_predict_data_of_their_own() -> None:
    other, labels = X[:17], Y[:17]

    def told_by(fit: Fit, evaluate: Any, predict: Any) -> list[Any]:
        told: list[Any] = []

        class Judge(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                told.append(evaluate(self.model, other, labels, verbose=0))
                told.append(predict(self.model, other, verbose=0).sum())
                told.append(self.model.test_on_batch(other, labels))

        keras.utils.set_random_seed(0)
        model = network()
        history = fit(model, X, Y, verbose=0, epochs=2, validation_split=0.2, callbacks=[Judge()])
        return [*told, *history.history["val_loss"]]

    known = told_by(plain, keras.Model.evaluate, keras.Model.predict)
    for evaluate, predict in (
        (keras.Model.evaluate, keras.Model.predict),
        (mlplab.evaluate, mlplab.predict),
    ):
        for mine, theirs in zip(told_by(mlplab.fit, evaluate, predict), known, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_an_interrupted_model_keeps_its_weights() -> None:
    model = network()
    mlplab.fit(model, X, Y, verbose=0)

    class Interrupting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        mlplab.fit(model, X, Y, verbose=0, callbacks=[Interrupting()])
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_ctrl_c_never_takes_a_model_s_weights() -> None:
    """It comes while compiled programs take over the arrays of the state."""
    model = network()
    x, y = np.tile(X, (1000, 1)), np.tile(Y, 1000)
    mlplab.fit(model, x, y, verbose=0)
    random = np.random.default_rng(0)
    for _ in range(15):
        steps = int(model.optimizer.iterations)
        timer = threading.Timer(random.uniform(0.05, 0.25), os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            mlplab.fit(model, x, y, batch_size=8, epochs=1000, verbose=0)
        assert np.isfinite(model.get_weights()[0]).all()
        assert model.optimizer.iterations > steps
    assert np.isfinite(mlplab.fit(model, X, Y, verbose=0).history["loss"][0])


@pytest.mark.parametrize("kind", ["generator", "PyDataset"])
def test_batches_are_trained_on_as_by_keras(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    def trained(fit: Fit) -> tuple[keras.Model, dict[str, Any]]:
        keras.utils.set_random_seed(0)
        model = network()
        given: Any = Sliced() if kind == "PyDataset" else ((X[i::2], Y[i::2]) for i in (0, 1))
        more = {"steps_per_epoch": 2, "shuffle": False, "validation_data": (X, Y), "verbose": 0}
        return model, fit(model, given, **more).history

    assert_equal([trained(plain), trained(mlplab.fit)])
    assert "passes one batch at a time" in capsys.readouterr().err


class Sliced(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return X[index::2], Y[index::2]


def test_an_eager_model_is_trained_by_keras(capsys: pytest.CaptureFixture[str]) -> None:
    mlplab.fit(network(run_eagerly=True), X[:20], Y[:20], verbose=0)
    assert "run_eagerly" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["evaluate", "predict"])
def test_a_slip_in_evaluate_or_predict_costs_no_weights(wrong: str) -> None:
    model = network()
    known = mlplab.predict(model, X)
    with pytest.raises(ValueError, match="shape"):
        if wrong == "predict":
            mlplab.predict(model, X[:, :5])
        else:
            mlplab.evaluate(model, X, np.eye(2)[Y % 2], verbose=0)
    np.testing.assert_array_equal(mlplab.predict(model, X), known)


def test_errors_of_keras_are_those_of_fit() -> None:
    with pytest.raises(ValueError, match="You must call `compile"):
        mlplab.fit(keras.Sequential([L.Dense(1)]), X, Y)
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        mlplab.fit(network(), X, Y[:5])


class Asked(keras.Sequential):
    """A network with a ``predict`` of its own, which looks at the data."""

    def predict(self, x: Any, **named: Any) -> Any:
        return super().predict(x, **named) if x.ndim == 2 else None


def test_a_predict_of_ones_own_gets_the_data() -> None:
    model = Asked([keras.Input((6,)), L.Dense(3)])
    np.testing.assert_array_equal(mlplab.predict(model, X, verbose=0), model.predict(X, verbose=0))


def test_a_callback_that_extends_one_of_keras_hears_its_batches(tmp_path: Path) -> None:
    heard: list[int] = []

    class Saving(keras.callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            heard.append(batch)

    saving = Saving(str(tmp_path / "a.keras"))
    mlplab.fit(network(), X, Y, batch_size=50, verbose=0, callbacks=[saving])
    assert heard == [0, 1, 2]


@pytest.mark.filterwarnings("error:Your input ran out of data")
def test_evaluation_and_predictions_are_those_of_keras() -> None:
    model = network()
    weights = np.linspace(0, 1, 103)
    for more in ({}, {"sample_weight": weights}, {"steps": 2}):
        mine = mlplab.evaluate(model, X, Y, batch_size=10, verbose=0, return_dict=True, **more)
        assert mine == model.evaluate(X, Y, batch_size=10, verbose=0, return_dict=True, **more)
    np.testing.assert_array_equal(mlplab.predict(model, X), model.predict(X, verbose=0))
    several = two_inputs()
    inputs = {"one": X, "other": X[:, :2]}
    found, known = mlplab.predict(several, inputs), several.predict(inputs, verbose=0)
    assert sorted(found) == sorted(known)
    np.testing.assert_array_equal(found["size"], known["size"])
