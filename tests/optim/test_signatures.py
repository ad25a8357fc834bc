from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplab.errors import RecipeError
from mlplab.optim import signatures


class Listener:
    """As a user would write a callback: annotated in part, with a default no recipe can hold."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        every: int,
        widths: tuple[int, ...] = (1, 2),
        folder: Path = Path("here"),
        limit: float | None = None,
        key: Any = print,
        loose=None,
        **more: int,
    ) -> None:
        self.every = every


def test_fills_in_defaults_and_leaves_out_what_a_recipe_cannot_hold() -> None:
    completed = signatures.complete(Listener, {"every": 3, "limit": 2}, "callbacks.watch")
    assert completed == {"every": 3, "widths": (1, 2), "limit": 2.0, "loose": None}


def test_toml_values_fit_annotations_that_toml_has_no_word_for() -> None:
    given_ = {"every": 3, "widths": [4, 5], "folder": "there", "loose": ["any", 1]}
    completed = signatures.complete(Listener, given_, "callbacks.watch")
    assert completed["widths"] == (4, 5)
    assert completed["folder"] == "there"
    assert completed["loose"] == ["any", 1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "'w.every' is missing"),
        ({"every": 2.5}, "w.every = 2.5 is wrong: input should be a valid integer"),
        ({"every": True}, "w.every = True is wrong"),
        ({"every": 1, "limit": "much"}, "w.limit = 'much' is wrong: .*, or \"none\""),
        ({"every": 1, "limit": float("inf")}, "w.limit = inf is wrong: input should be finite"),
        ({"every": 1, "loose": {1, 2}}, "w.loose = {1, 2} is wrong"),
        ({"every": 1, "wdths": [1]}, "'w.wdths' is not a parameter of Listener; .* 'widths'"),
        ({"every": 1, "more": 1}, "'w.more' is not a parameter"),
        ({"every": 1, "nam": "x"}, "did you mean 'name'"),  # which each such table has
    ],
)
def test_refuses_what_does_not_fit(params: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        signatures.complete(Listener, params, "w")


def test_hidden_parameters_are_unknown() -> None:
    with pytest.raises(RecipeError, match="not a parameter"):
        signatures.complete(Listener, {"every": 1}, "w", hidden=["every"])


def test_keras_callbacks_are_judged_by_their_documentation() -> None:
    completed = signatures.complete(
        keras.callbacks.EarlyStopping, {"min_delta": 0.01, "baseline": 1}, "c"
    )
    assert completed["min_delta"] == 0.01  # although the default, 0, is an integer
    assert completed["baseline"] == 1.0
    with pytest.raises(RecipeError, match="'auto', 'min' or 'max'"):
        signatures.complete(keras.callbacks.EarlyStopping, {"mode": "lowest"}, "c")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_through_exactly(number: float) -> None:
    completed = signatures.complete(Listener, {"every": 1, "limit": number}, "w")
    assert completed["limit"] == number


@pytest.mark.parametrize("name", ["EarlyStopping", "earlystopping", "early_stopping"])
def test_finds_a_class_in_any_capitalisation(name: str) -> None:
    known = {"EarlyStopping": keras.callbacks.EarlyStopping}
    assert signatures.find(name, known, "c") is keras.callbacks.EarlyStopping


def test_unknown_name_is_refused_with_the_nearest() -> None:
    known = {"EarlyStopping": keras.callbacks.EarlyStopping}
    with pytest.raises(RecipeError, match=r"c\.name = 'ErlyStopping'.*'EarlyStopping'"):
        signatures.find("ErlyStopping", known, "c")
