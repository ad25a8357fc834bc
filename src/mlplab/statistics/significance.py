"""Which of two configurations is better, and whether that is luck: numbers in, numbers out.

Runs with the same seed share the split, the initial key and the order of the images, so two
configurations are compared seed by seed. Functions take differences along the last axis.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, chdtri, stdtr, stdtrit

FEWEST = 3
"""Fewest pairs from which a spread is estimated."""
FEWEST_TO_FLIP = 7
"""Fewest pairs for a two-sided sign-flip test: with 7 its p-value can be as low as 2 / 128."""
MOST_TO_FLIP = 14  # 16,384 combinations, all enumerated; above, as many are drawn
FLIPS = 1 << MOST_TO_FLIP
MOST_SEEDS = 100_000

Numbers = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its uncertainty.

    Attributes:
        mean: of the differences.
        low: lower end; NaN if there are fewer than 3 differences, or all are equal.
        high: upper end, likewise.
        p: two-sided p-value of a mean of 0, likewise.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    p: Numbers


def paired(differences: ArrayLike, confidence: float | NDArray[np.float64] = 0.95) -> Interval:
    """Return the paired-t interval of the mean difference (Student 1908).

    It generalises to new seeds, on the same test images.

    Args:
        differences: float [..., n].
        confidence: probability that such an interval covers the true mean; float [...].
    """
    values = np.asarray(differences, np.float64)
    n = values.shape[-1]
    mean = values.mean(axis=-1)
    if n < FEWEST:
        unknown = np.full_like(mean, np.nan)
        return Interval(mean, unknown, unknown, unknown)
    error = values.std(axis=-1, ddof=1) / math.sqrt(n)
    # Equal up to rounding: no spread to estimate.
    error = np.where(np.ptp(values, axis=-1) <= 1e-12, np.nan, error)
    half = stdtrit(n - 1, (1 + np.asarray(confidence)) / 2) * error
    p = 2 * stdtr(n - 1, -np.abs(mean / error))
    return Interval(mean, mean - half, mean + half, p)


def corrected(values: ArrayLike, ratio: float, confidence: float = 0.95) -> Interval:
    """Return the interval of a mean over folds, corrected for their common training images.

    The folds' training sets overlap, so their results vary together, and the usual interval is too
    short. Nadeau and Bengio 2003, "Inference for the Generalization Error", section 3: the
    variance of the mean is taken as s² (1/n + ratio) instead of s²/n.

    Args:
        values: float [..., n], a result of each fold, or a difference.
        ratio: held-out images of a fold over its training images: 1/4 for five folds.
        confidence: probability that such an interval covers the true mean.
    """
    numbers = np.asarray(values, np.float64)
    n = numbers.shape[-1]
    plain = paired(numbers, confidence)
    wider = math.sqrt(1 + n * ratio)
    half = wider * (plain.high - plain.mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = numbers.mean(axis=-1) / (numbers.std(axis=-1, ddof=1) * math.sqrt(1 / n + ratio))
    p = np.where(np.isnan(plain.p), np.nan, 2 * stdtr(n - 1, -np.abs(t)))
    return Interval(plain.mean, plain.mean - half, plain.mean + half, p)


class Adjusted(NamedTuple):
    """A family of comparisons, adjusted so that a false verdict among them is rare.

    Attributes:
        mean: float64 [m], mean differences.
        low: float64 [m], lower ends of intervals that exclude 0 exactly where ``shown``.
        high: float64 [m].
        p: float64 [m], adjusted p-values.
        shown: bool [m], whether a difference is shown.
        level: float64 [m], the significance level at which each was tested.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    p: Numbers
    shown: NDArray[np.bool_]
    level: Numbers


def holm(family: Sequence[ArrayLike], alpha: float = 0.05) -> Adjusted:
    """Compare a family by paired-t, adjusted by Holm's step-down method (Holm 1979).

    The probability of reporting any difference that does not exist is at most ``alpha``, whatever
    the dependence. Each interval has the level at which its comparison was tested: the smallest of
    m p-values at alpha / m, the next at alpha / (m - 1), and so on. From the first that is not
    shown, all have the level of that one.

    Args:
        family: m arrays of differences, float [n]; their lengths may differ.
        alpha: family-wise error rate.
    """
    values = [np.asarray(differences, np.float64) for differences in family]
    p = np.array([float(paired(differences).p) for differences in values])
    known = ~np.isnan(p)
    m = int(known.sum())
    level, adjusted, shown = np.full(len(p), alpha), p.copy(), np.zeros(len(p), bool)
    highest, open_ = 0.0, True
    for place, i in enumerate(np.argsort(np.where(known, p, np.inf), kind="stable")[:m]):
        remaining = m - place
        highest = max(highest, min(1.0, float(p[i]) * remaining))
        adjusted[i] = highest
        if open_:
            tested_at = alpha / remaining
            open_ = bool(p[i] < tested_at)
        level[i], shown[i] = tested_at, open_
    intervals = [paired(d, 1 - a) for d, a in zip(values, level, strict=True)]
    mean, low, high = (np.array([float(i[k]) for i in intervals]) for k in range(3))
    return Adjusted(mean, low, high, adjusted, shown, level)


def holm_adjusted(p: ArrayLike) -> Numbers:
    """Return p-values adjusted over their family by Holm's method, float64 [m]."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(1, steps)
    return result


def sign_flips(differences: ArrayLike) -> float | None:
    """Return the two-sided p-value of a mean of 0 by sign flips; ``None`` below 7 pairs.

    If neither configuration is better, each difference could just as well have the other sign. Up
    to 14 pairs all combinations are enumerated; above, 16,384 are drawn, always the same.
    """
    values = np.asarray(differences, np.float64)
    n = len(values)
    if n < FEWEST_TO_FLIP:
        return None
    if n <= MOST_TO_FLIP:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        extreme = np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-9)
        return float(extreme.mean())
    signs = np.random.default_rng(0).choice((1.0, -1.0), size=(FLIPS, n))
    extreme = np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-9)
    return float((extreme.sum() + 1) / (FLIPS + 1))


class Disagreement(NamedTuple):
    """How two networks differ on the same images.

    Attributes:
        first: images that only the first network gets right.
        second: images that only the second gets right.
        images: total number of images.
        p: p-value of no difference (McNemar's exact test).
    """

    first: int
    second: int
    images: int
    p: float


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> Disagreement:
    """Compare two networks on the same images by McNemar's exact test (McNemar 1947).

    It compares these two networks, not the recipes that produced them.

    Args:
        first_right: bool [n], whether the first network gets each image right.
        second_right: bool [n], likewise.
    """
    one, other = np.asarray(first_right, bool), np.asarray(second_right, bool)
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    # By chance each gets half of the images on which they disagree: the binomial is symmetric.
    p = min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))
    return Disagreement(first, second, len(one), p)


def over_images(
    first_right: ArrayLike, second_right: ArrayLike, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return an interval of the difference in accuracy for new seeds and new images.

    Seeds and images are crossed random effects: the variance of the mean is the seeds' variance
    over their number plus the images' variance over theirs. The quantile has the seeds' n - 1
    degrees of freedom (Satterthwaite's would be more, and cover too little with few seeds), so the
    interval is always wider than that of :func:`paired`, which is for the same test images.

    Args:
        first_right: bool [n, images], whether the first configuration's network of each seed gets
            each image right.
        second_right: bool [n, images], likewise.
        confidence: probability that such an interval covers the true difference.

    Returns:
        Lower and upper end, or ``None`` for fewer than 3 seeds.
    """
    difference = np.asarray(first_right, np.float64) - np.asarray(second_right, np.float64)
    n, images = difference.shape
    if n < FEWEST:
        return None
    of_seeds = difference.mean(axis=1).var(ddof=1) / n
    of_images = difference.mean(axis=0).var(ddof=1) / images
    variance = of_seeds + of_images
    if variance == 0:
        return None
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    mean = float(difference.mean())
    return mean - half, mean + half


class Seeds(NamedTuple):
    """How many seeds would show a difference of a given size.

    Attributes:
        about: at the observed spread; ``MOST_SEEDS`` means that number or more.
        low: if the true spread is at the lower end of its 90 % interval.
        high: if it is at the upper end.
    """

    about: int
    low: int
    high: int


def seeds_needed(sd: float, n: int, difference: float, alpha: float = 0.05) -> Seeds:
    """Return how many pairs detect a true difference in four of five experiments.

    With few pairs the spread itself is known only roughly, hence a range. It comes from the
    chi-squared interval of the variance and in 90 % of cases contains the number needed at the
    true spread.

    Args:
        sd: standard deviation of the observed differences.
        n: their number, at least 3.
        difference: the true difference to detect, above 0.
        alpha: significance level of the test.
    """
    freedom = n - 1
    # chdtri takes the probability of the upper tail.
    low, high = (sd * math.sqrt(freedom / float(chdtri(freedom, q))) for q in (0.05, 0.95))
    return Seeds(*(_pairs(difference, spread, alpha) for spread in (sd, low, high)))


def _pairs(difference: float, sd: float, alpha: float) -> int:
    if sd == 0:
        return FEWEST
    first = int(np.searchsorted(_pairs_to_detect(alpha), sd / difference))
    return min(first + FEWEST, MOST_SEEDS)


@cache
def _pairs_to_detect(alpha: float, power: float = 0.8) -> Numbers:
    """Return the largest spread, in units of the difference, at which 3, 4, 5 … pairs detect it.

    From the sum of two quantiles of Student's t, which is within one pair of the noncentral t.
    """
    n = np.arange(FEWEST, MOST_SEEDS + 1)
    quantiles = stdtrit(n - 1, 1 - alpha / 2) + stdtrit(n - 1, power)
    result: Numbers = np.sqrt(n) / quantiles
    return result
