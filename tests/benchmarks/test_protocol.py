"""Turns, repetitions and ratios of a comparison."""

import pytest
from benchmarks.protocol import interleave


def test_contestants_take_turns_with_a_reference_before_each() -> None:
    turns: list[str] = []

    def note(name: str, value: float) -> float:
        turns.append(name)
        return value

    timing = interleave(
        {"a": lambda: note("a", 2.0), "b": lambda: note("b", 3.0)},
        rounds=2,
        reference=lambda: note("reference", 100.0),
        report=lambda _: None,
    )
    assert turns == ["reference", *["reference", "a", "reference", "b"] * 2]
    assert timing.seconds == {"a": [2.0, 2.0], "b": [3.0, 3.0]}
    assert timing.summary("a")["b"]["ratio_median"] == 1.5


@pytest.mark.parametrize(("repeat", "repeated", "slowed"), [(True, 1, 0), (False, 0, 1)])
def test_a_slowed_round_is_repeated_and_counted(repeat: bool, repeated: int, slowed: int) -> None:
    rates = iter([100.0, 100.0, 84.0, 100.0, 86.0])
    seconds = iter([1.0, 9.0, 1.0])
    timing = interleave(
        {"a": lambda: next(seconds)},
        rounds=2,
        repeat=repeat,
        reference=lambda: next(rates),
        report=lambda _: None,
    )
    assert timing.seconds["a"] == ([1.0, 1.0] if repeat else [1.0, 9.0])
    assert (timing.repeated, timing.slowed) == (repeated, slowed)


def test_a_machine_that_stays_slowed_does_not_keep_it_from_ending() -> None:
    rates = iter([100.0, *[50.0] * 100])
    timing = interleave(
        {"a": lambda: 1.0}, rounds=1, reference=lambda: next(rates), report=lambda _: None
    )
    assert (timing.repeated, timing.slowed) == (4, 1)
