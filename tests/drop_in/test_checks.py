"""What ``mlplab.fit``, ``evaluate`` and ``predict`` refuse in a line, and what they doubt."""

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import mlplab
from mlplab.errors import DataError, UserError

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 6)).astype("float32")
Y = RNG.integers(0, 3, 103)
ONE_HOT = np.eye(3)[Y]


def network(loss: str = "sparse_categorical_crossentropy") -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), L.Dense(3, activation="softmax")])
    model.compile("adam", loss)
    return model


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X[:0], Y[:0], r"x is empty: its shape is \(0, 6\)"),
        (X, np.array(["cat"] * 103), "y holds text.*np.unique"),
        (X, ["cat"] * 103, "y holds text.*np.unique"),
        (X, pd.Series(["cat"] * 103), "y holds .*np.unique"),
        ([[1, 2], [3]], [0, 1], "the rows of x differ in length"),
        ([[1, None], [2, 3]], [0, 1], "x has None among its numbers"),
        (list(zip(X, Y, strict=True)), None, "x is a list of tuples"),
        ("photos", Y, "x is a path"),
        (lambda: X, Y, "x is a function; call it"),
        ({"data": X, "target": Y}, None, "x is a data set"),
        (X, pd.DataFrame({"label": ["cat"] * 103}), "y has 1 column.*np.unique"),
        (pd.DataFrame(X.astype(str)), Y, "x has 6 columns.*to_numeric"),
        (list(X), Y, r"103 arrays.* has 1 input.*np\.stack"),
        (X, None, "y is missing"),
        (X, ONE_HOT, r"y is one-hot, 103×3.*argmax"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_a_line(x: Any, y: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"^{said}" if said[0] in "xy" else said):
        mlplab.fit(network(), x, y)
    with pytest.raises(DataError, match=said):
        mlplab.evaluate(network(), x, y)
    if x is X:
        with pytest.raises(DataError, match=f"validation.*{said}"):
            mlplab.fit(network(), X, Y, validation_data=(x, y))


def test_numbers_of_classes_need_a_sparse_loss() -> None:
    with pytest.raises(DataError, match="compile with sparse_categorical_crossentropy"):
        mlplab.fit(network("categorical_crossentropy"), X, Y)
    mlplab.fit(network("categorical_crossentropy"), X, ONE_HOT, verbose=0)


@pytest.mark.parametrize("x", [X[:0], X.astype(str), list(X)])
def test_what_cannot_be_predicted_is_told_in_a_line(x: Any) -> None:
    with pytest.raises(DataError, match=r"^x "):
        mlplab.predict(network(), x)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"validation_split": 1.5}, "share"),
        ({"class_weight": "balanced"}, "dictionary"),
        ({"epochs": "3"}, "epochs is '3', but it is a whole number, 0 or more"),
        ({"epochs": None}, "epochs is None"),
        ({"batch_size": 0}, "batch_size is 0, but it is a whole number, 1 or more"),
    ],
)
def test_settings_that_keras_does_not_check_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        mlplab.fit(network(), X, Y, **settings)


def test_a_recipe_is_no_model() -> None:
    recipe: Any = mlplab.recipe("quickstart")
    for call in (mlplab.fit, mlplab.evaluate, mlplab.predict):
        with pytest.raises(UserError, match=r"is a Recipe.*mlplab\.train"):
            call(recipe, X)


def test_tables_of_any_numbers_are_taken() -> None:
    table = pd.DataFrame(X).astype({0: "Float64", 1: bool})
    table[2] = pd.array(Y, dtype="Int64")
    as_array = table.astype(float).to_numpy()
    model = network()
    found, expected = (mlplab.predict(model, x, verbose=0) for x in (table, as_array))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isfinite(mlplab.fit(network(), table, table[2], verbose=0).history["loss"][0])


def test_rows_may_be_tuples_of_numbers() -> None:
    rows = [tuple(row) for row in X[:8].tolist()]
    found, expected = (
        mlplab.predict(model, x, verbose=0) for model in [network()] for x in (rows, X[:8])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_columns_of_text_are_named() -> None:
    table = pd.DataFrame({"age": [1, 2], "town": ["Oslo", "Bergen"]})
    with pytest.raises(DataError, match="x has 1 column without numbers: town"):
        mlplab.fit(network(), table, Y[:2])


def test_doubtful_data_are_trained_on_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    holes = X.copy()
    holes[3, 2] = np.nan
    for _ in range(2):
        mlplab.fit(network(), pd.DataFrame(holes), Y + 1, verbose=0)
        said = capsys.readouterr().err
        assert "x has 1 value that is" in said
        assert "labels go from 1 to 3, but the network has 3 outputs" in said
    unbuilt = keras.Sequential([L.Dense(3, activation="softmax")])
    unbuilt.compile("sgd", "sparse_categorical_crossentropy")
    mlplab.fit(unbuilt, X, Y + 1.0, validation_data=(holes, Y - 1), verbose=0)
    said = capsys.readouterr().err
    assert "mlplab.fit: labels go from 1 to 3" in said
    assert "validation labels go from -1 to 1" in said
    assert "validation x has 1 value" in said
