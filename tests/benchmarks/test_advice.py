"""A small form of ``python -m benchmarks.advice``: one seed, digits, three faults and none."""

from pathlib import Path

import pytest
from benchmarks.faults import EXPERIMENTS, SOUND, Experiment

from benchmarks import advice, pictures

FAULTS = (
    "too few epochs: 2",
    "rate too high: SGD, 1000",
    pytest.param("batch too large: all images", marks=pytest.mark.torture),
)


def named(name: str) -> Experiment:
    (found,) = [each for each in EXPERIMENTS if each.name == name]
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("advice")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_its_advice_helps(name: str, runs: Path) -> None:
    found = advice.answer(named(name), "digits", runs, None, seeds=(0,))
    assert found.named, found
    assert found.change > 0.02


def test_a_sound_experiment_gets_no_advice(runs: Path) -> None:
    found = advice.answer(named("sound: as it is"), "digits", runs, None, seeds=(0,))
    assert found.advice == ("",)


def test_there_are_more_than_forty_experiments_with_names_of_their_own() -> None:
    assert len({each.name for each in EXPERIMENTS}) == len(EXPERIMENTS) >= 40
    assert set(SOUND) == set(pictures.SETS)
    assert {each.pictures for each in EXPERIMENTS} <= set(pictures.FAULTS)


def test_what_is_counted_is_what_happened() -> None:
    fault, sound = named(FAULTS[0]), named("sound: as it is")
    (kind,) = fault.kinds
    given = [
        advice.Answer(fault, "digits", (kind,), ("training.epochs=10",), (0.5,), (0.6,)),
        advice.Answer(fault, "digits", ("divergence",), ("x=1",), (0.5,), (0.4,)),
        advice.Answer(sound, "digits", ("",), ("",), (0.9,), (0.9,)),
    ]
    lines = advice.summary(given)
    assert [line.split("|")[2].strip() for line in lines] == [
        "1 of 2",
        "1 of 2",
        "1 of 3",
        "1 of 1",
    ]
