import math

import pytest

from mlplab.report import formatting as words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.percent(0.5441), "54.4 %"),
        (words.points(0.134), "13.4 points"),
        (words.number(6305802), "6,305,802"),
        (words.number(0.93251), "0.9325"),
        (words.duration(7.25), "7.2 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(7260), "2 h 1 min"),
        (words.size(1_536_000), "1.54 MB"),
        (words.times(1), "once"),
        (words.moment("2026-01-01T12:00:00+00:00"), "2026-01-01 12:00 UTC"),
        (words.moment("yesterday"), "yesterday"),
    ],
)
def test_numbers_are_said_as_people_read_them(said, expected):
    assert said == expected


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, "x", True])
def test_what_is_no_number_is_a_dash(nothing):
    assert {words.percent(nothing), words.number(nothing), words.duration(nothing)} == {"–"}
