"""Verdicts against known truth: fixed seed, 20,000 simulations where a rate is claimed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlplab.statistics.significance import (
    holm,
    holm_adjusted,
    mcnemar,
    over_images,
    paired,
    seeds_needed,
    sign_flips,
)

SIMULATIONS = 20_000
FAMILY = 11

numbers = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=12)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20_261_125)


@pytest.mark.parametrize("n", [5, 10])
def test_95_percent_intervals_cover_the_truth_in_95_percent(
    n: int, random: np.random.Generator
) -> None:
    found = paired(random.normal(0.7, 0.4, (SIMULATIONS, n)))
    covered = np.mean((found.low <= 0.7) & (found.high >= 0.7))
    assert 0.945 <= covered <= 0.955


@pytest.mark.parametrize("n", [5, pytest.param(10, marks=pytest.mark.torture)])
def test_a_family_of_11_raises_a_false_alarm_in_5_percent_at_most(
    n: int, random: np.random.Generator
) -> None:
    count = SIMULATIONS // 4
    own = random.normal(size=(count, FAMILY, n))
    reference = random.normal(size=(count, 1, n))  # its luck is in each difference
    families = own - reference
    smallest = paired(families).p.min(axis=1)
    # Where nothing differs, the first step decides: the smallest p-value at 5 % / 11.
    alarms = [holm(families[i]).shown.any() for i in np.flatnonzero(smallest < 0.05)]
    assert 0.02 < sum(alarms) / count <= 0.05


def test_holm_wastes_little_where_comparisons_are_independent(
    random: np.random.Generator,
) -> None:
    families = random.normal(size=(SIMULATIONS, FAMILY, 5))
    alarms = np.mean(paired(families).p.min(axis=1) < 0.05 / FAMILY)
    assert alarms == pytest.approx(1 - (1 - 0.05 / FAMILY) ** FAMILY, abs=0.005)


@pytest.mark.parametrize("n", [5, 10])
def test_the_range_of_seeds_contains_what_the_true_spread_needs_in_90_percent(
    n: int, random: np.random.Generator
) -> None:
    true = seeds_needed(1.0, n, 0.5).about
    spreads = random.normal(0, 1, (SIMULATIONS, n)).std(axis=1, ddof=1)
    ranges = [seeds_needed(float(sd), n, 0.5) for sd in spreads]
    contained = np.mean([found.low <= true <= found.high for found in ranges])
    assert 0.895 <= contained <= 0.93  # whole numbers of seeds round a little wide


def test_so_many_seeds_show_the_difference_in_four_of_five(random: np.random.Generator) -> None:
    needed = seeds_needed(1.0, 5, 0.3).about
    found = paired(random.normal(0.3, 1.0, (SIMULATIONS, needed)))
    assert np.mean(found.p < 0.05) == pytest.approx(0.8, abs=0.01)


def test_paired_is_scipy_s(random: np.random.Generator) -> None:
    values = random.normal(0.3, 1, 8)
    theirs = stats.ttest_1samp(values, 0)
    ends = theirs.confidence_interval(0.95)
    found = paired(values)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_two_pairs_and_equal_differences_give_no_interval() -> None:
    for values in ([0.1, 0.3], [0.2, 0.2, 0.2, 0.2]):
        found = paired(values)
        assert np.isnan(found.low)
        assert np.isnan(found.p)
        assert not holm([values]).shown.any()


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=6))
def test_an_interval_leaves_out_0_where_a_difference_is_shown_and_there_alone(family: Any) -> None:
    found = holm(family)
    for low, high, shown in zip(found.low, found.high, found.shown, strict=True):
        if not np.isnan(low):
            assert shown == (low > 0 or high < 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=6))
def test_swapping_the_two_sides_turns_the_verdict_around(family: Any) -> None:
    one, other = holm(family), holm([[-x for x in values] for values in family])
    np.testing.assert_array_equal(one.shown, other.shown)
    np.testing.assert_allclose(one.low, -other.high)
    np.testing.assert_allclose(one.p, other.p)


def test_holm_is_the_textbook_s() -> None:
    # p-values 0.0125, 0.03, 0.04 with three comparisons: only the first is below its level.
    values = [_with_p(p) for p in (0.03, 0.0125, 0.04)]
    found = holm(values)
    np.testing.assert_allclose(found.p, [0.06, 0.0375, 0.06], rtol=1e-6)
    assert found.shown.tolist() == [False, True, False]
    np.testing.assert_allclose(found.level, [0.025, 0.05 / 3, 0.025])


def _with_p(p: float, n: int = 6) -> np.ndarray:
    """Differences whose paired t-test has this p-value."""
    base = np.linspace(-1, 1, n)
    t = stats.t.isf(p / 2, n - 1)
    return base + t * base.std(ddof=1) / np.sqrt(n)


def test_signs_are_flipped_in_every_combination() -> None:
    assert sign_flips([1.0] * 6) is None
    assert sign_flips([1.0] * 7) == pytest.approx(2 / 2**7)
    assert sign_flips([1, -1, 2, -2, 3, -3, 1, -1]) == 1.0
    assert sign_flips(np.arange(1, 21)) == pytest.approx(1 / 16_385)


def test_mcnemar_looks_at_disagreements_alone() -> None:
    one = [True] * 8 + [False] * 2 + [True] * 90
    other = [False] * 8 + [True] * 2 + [True] * 90
    found = mcnemar(one, other)
    assert (found.first, found.second) == (8, 2)
    assert found.p == pytest.approx(stats.binomtest(8, 10).pvalue)
    assert mcnemar(one, one).p == 1.0


def test_new_images_widen_the_interval(random: np.random.Generator) -> None:
    skill = random.normal(size=2000)
    right = [skill + random.normal(size=(6, 2000)) * 0.5 > limit for limit in (-0.2, 0.0)]
    wide = over_images(right[0], right[1])
    assert wide is not None
    low, high = wide
    narrow = paired(right[0].mean(axis=1) - right[1].mean(axis=1))
    assert low < narrow.low < narrow.high < high
    assert over_images(right[0][:2], right[1][:2]) is None


def test_intervals_over_images_cover_the_truth(random: np.random.Generator) -> None:
    """Two classifiers, right with a chance that depends on the image: each time new images."""
    truth, covered = 0.05, 0
    for _ in range(400):
        easy = random.uniform(0.2, 0.9, 500)
        one = random.random((5, 500)) < easy + truth + random.normal(0, 0.02, (5, 1))
        other = random.random((5, 500)) < easy + random.normal(0, 0.02, (5, 1))
        interval = over_images(one, other)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered / 400 >= 0.93


def test_holm_s_adjusted_p_values_are_those_of_holm() -> None:
    found = holm_adjusted([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(found, [0.04, 0.09, 0.09, 0.5])
