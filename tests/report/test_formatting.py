import math

import pytest

from mlplab.report import formatting


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (formatting.percent(0.5441), "54.4 %"),
        (formatting.points(0.134), "13.4 points"),
        (formatting.number(6305802), "6,305,802"),
        (formatting.number(0.93251), "0.9325"),
        (formatting.duration(7.25), "7.2 s"),
        (formatting.duration(59.7), "1 min 0 s"),
        (formatting.duration(7260), "2 h 1 min"),
        (formatting.size(1_536_000), "1.54 MB"),
        (formatting.times(1), "once"),
        (formatting.moment("2026-01-01T12:00:00+00:00"), "2026-01-01 12:00 UTC"),
        (formatting.moment("yesterday"), "yesterday"),
    ],
)
def test_numbers_are_said_as_people_read_them(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, "x", True])
def test_what_is_no_number_is_a_dash(nothing: object) -> None:
    assert {
        formatting.percent(nothing),
        formatting.number(nothing),
        formatting.duration(nothing),
    } == {"–"}
