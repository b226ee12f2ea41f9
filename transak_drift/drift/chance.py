"""What distance comes by chance: that of a window whose rows are drawn from the baseline itself.

A window of few rows never has quite the baseline's distribution, so that a small one is often far
from it though nothing has changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from transak_drift.drift.feature_statistics import (
    FeatureStatistics,
    NumericalStatistics,
)

CHANCE = 0.05
"""Share of windows without any change whose distance is greater than that by chance."""

MAX_EXACT_VALUES = 10_000
MAX_DRAWN_VALUES = 5_000
MAX_KEPT_NUMBERS = 20_000
"""Finite values up to which all of a baseline are kept to draw from; of more, quantiles are."""

# Evenly spaced log odds: the greatest values decide over the width of a window's buckets.
_LOG_ODDS = np.linspace(-11.5, 11.5, 2_001)
QUANTILES: tuple[float, ...] = tuple((1 / (1 + np.exp(-_LOG_ODDS))).tolist())
"""Shares of the values below each of the quantiles that are kept."""

# Numbers to draw from, so few that their places fit into two bytes, which are sorted fastest.
_SLOTS = 50_000
_MAX_DRAWS, _MIN_DRAWS = 20_000, 100
# Values in all windows that are drawn, and in those that are in memory together.
_MAX_DRAWN, _MAX_AT_ONCE = 6_000_000, 500_000
# A truncation that is less likely changes no digit that anybody reads.
_NEGLIGIBLE = 1e-12
_TOLERANCE = 1e-9
# How much less densely the values of a tail lie than those before it, over so many log odds.
_TAIL_FACTOR, _TAIL_BASE = 1.5, 0.4


def distance_by_chance(baseline: FeatureStatistics, values: int, metric: str = "") -> float:
    """Return the distance that 5 % of windows exceed whose values are drawn from the baseline.

    Args:
        baseline: the feature's statistics in the baseline, with at least one present value.
        values: present values of the feature in the window, at least one.
        metric: `l_infinity` or `jensen_shannon_divergence` of a categorical feature; a numerical
            one has the latter alone.
    """
    if isinstance(baseline, NumericalStatistics):
        # Quantiles are no part of a comparison, so that the cache needs them beside.
        return _divergence_of_numbers(baseline, baseline.quantiles, values)
    if metric == "jensen_shannon_divergence":
        return divergence_by_chance([count for count in baseline.counts.values() if count], values)
    return l_infinity_by_chance(baseline.counts.values(), values)


def l_infinity_by_chance(counts: Iterable[int], values: int) -> float:
    """Return the 95 % quantile of the L-infinity distance of a multinomial sample.

    Up to 10,000 values it is exact. Multinomial counts are independent Poisson counts of which the
    sum is known. So the probability that no share is further away than t is the product of the
    probabilities that each count stays within its bounds, times the probability of that sum given
    the bounds. Source: B. Levin, "A Representation for Multinomial Cumulative Distribution
    Functions", The Annals of Statistics 9 (1981); the sum's probability is computed by a discrete
    Fourier transform in place of his Edgeworth series.

    Of more values the shares are as good as normal, and the quantile is bounded from above by that
    of independent ones. Source: Z. Šidák, "Rectangular Confidence Regions for the Means of
    Multivariate Normal Distributions", Journal of the American Statistical Association 62 (1967).

    Args:
        counts: rows by value in the baseline.
        values: size of the sample.
    """
    # Equal counts have equal bounds.
    groups = Counter(counts)
    del groups[0]
    if values > MAX_EXACT_VALUES:
        return _normal_quantile(groups, values)
    found = np.array(sorted(groups))
    number = np.array([groups[count] for count in found])
    shares = found / (found @ number)
    low, high = 0.0, 1.0
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        if _share_within(middle, shares, number, values) >= 1 - CHANCE:
            high = middle
        else:
            low = middle
    # The nearest distance that a sample can have, written as it is computed for a window.
    nearest = high + 2 * _TOLERANCE
    above = np.floor((shares + nearest) * values) / values - shares
    below = shares - np.ceil((shares - nearest).clip(0) * values) / values
    reached = np.concatenate([above, below])
    return float(reached[reached <= nearest].max())


def _normal_quantile(groups: Counter[int], values: int) -> float:
    total = sum(count * number for count, number in groups.items())
    # Times the square root of two, as the error function wants them.
    spreads = [
        (math.sqrt(2 * count / total * (1 - count / total) / values), number)
        for count, number in groups.items()
    ]
    greatest, _ = max(spreads)
    # A value whose share spreads far less than another's is never the one that decides.
    spreads = [(spread, number) for spread, number in spreads if spread > greatest / 5]
    if groups.total() == 2:
        # Both changes are the same one.
        spreads = [(greatest, 1)]
    low, high = 0.0, 10 * greatest
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        within = math.prod(math.erf(middle / spread) ** number for spread, number in spreads)
        low, high = (low, middle) if within >= 1 - CHANCE else (middle, high)
    return high


def _share_within(distance: float, shares: np.ndarray, number: np.ndarray, values: int) -> float:
    """Return the share of samples of which no value's share is further away than the distance."""
    expected = shares * values
    slack = _TOLERANCE * values
    least = np.ceil(expected - distance * values - slack).clip(0)
    most = np.floor(expected + distance * values + slack).clip(max=values)
    if (least > most).any():
        return 0.0
    outside = np.where(least > 0, _tail(least - 1, expected), 0.0)
    outside += np.where(most < values, _tail(most + 1, expected), 0.0)
    bounded = outside > _NEGLIGIBLE
    # The sum has about the spread of a Poisson count of that mean: it fits into so many numbers.
    size = 1 << math.ceil(math.log2(20 * math.sqrt(values) + 64))
    frequencies = np.exp(-2j * np.pi * np.arange(size) / size)
    # The sum of unbounded Poisson counts is one itself.
    transform = np.exp((expected * number)[~bounded].sum() * (frequencies - 1))
    if bounded.any():
        mean, first = expected[bounded, None], least[bounded, None]
        count = (first + np.arange((most - least)[bounded].max() + 1)).astype(int)
        logarithm = _log_factorials(values)[count.clip(max=values)]
        probability = np.exp(count * np.log(mean) - mean - logarithm)
        wrapped = np.zeros((len(mean), size))
        place = (np.arange(len(mean))[:, None], count % size)
        np.add.at(wrapped, place, np.where(count <= most[bounded, None], probability, 0.0))
        transforms = np.fft.fft(wrapped) ** number[bounded, None]
        transform = transform * transforms.prod(axis=0)
    of_the_sum = np.fft.ifft(transform)[values % size].real
    of_any_sum = math.exp(values * math.log(values) - values - math.lgamma(values + 1))
    return of_the_sum / of_any_sum


def _tail(count: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return Chernoff's bound of the probability that a Poisson count is so far from its mean."""
    ratio = np.where(count > 0, count / mean, 1.0)
    return np.exp(count - mean - count * np.log(ratio))


@lru_cache(maxsize=4)
def _log_factorials(greatest: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, greatest + 1)))])


def divergence_by_chance(counts: Sequence[int], values: int) -> float:
    """Return the 95 % quantile of the Jensen-Shannon divergence of a multinomial sample, in bits.

    It is that of up to 20,000 samples, drawn with a fixed seed. Of more than 60,000 values, in a
    baseline of still more different ones, it is that of 60,000, which is greater.

    Args:
        counts: rows by value in the baseline, none of them 0.
        values: size of the sample.
    """
    random, rows = np.random.default_rng(0), np.array(counts)
    shares = rows / rows.sum()
    parts = []
    if len(counts) <= values:
        for number in _parts(len(counts)):
            found = random.multinomial(values, shares, size=number) / values
            parts.append(_divergence(np.broadcast_to(shares, found.shape), found))
        return _quantile(np.concatenate(parts))
    size, below = min(values, _MAX_DRAWN // _MIN_DRAWS), np.cumsum(rows)
    for number in _parts(size):
        drawn = random.integers(0, below[-1], size=(number, size))
        drawn = np.sort(np.searchsorted(below, drawn, side="right"), axis=1)
        # How often a value was drawn is known where its run ends; the others have the share 0 here.
        ends = np.diff(drawn, axis=1, append=len(counts)) > 0
        lengths = np.diff(np.flatnonzero(ends), prepend=-1)
        found = np.zeros(drawn.shape)
        found[ends] = lengths / size
        parts.append(_divergence(np.where(ends, shares[drawn], 0.0), found))
    return _quantile(np.concatenate(parts))


@lru_cache(maxsize=64)
def _divergence_of_numbers(
    baseline: NumericalStatistics, _quantiles: tuple[float, ...], values: int
) -> float:
    """Return the 95 % quantile of the divergence of windows that are drawn with a fixed seed.

    The values are drawn from the baseline's, or from its quantiles, where they are known, else
    evenly from its buckets.
    """
    if max(map(abs, baseline.edges), default=0.0) > 2.0**512:
        # Differences of the greatest floats would overflow; a scale changes no share.
        edges, quantiles = (
            tuple(number * 2.0**-512 for number in numbers)
            for numbers in (baseline.edges, baseline.quantiles)
        )
        baseline = replace(baseline, edges=edges, quantiles=quantiles)
    numbers, finite = _numbers(baseline), math.fsum(baseline.counts) / baseline.present
    if not len(numbers):
        # What is not finite matches nothing.
        return 1.0
    if values > MAX_DRAWN_VALUES:
        return _divergence_of_many_numbers(baseline, numbers, values)
    random, found = np.random.default_rng(0), []
    for number in _parts(values):
        drawn = random.integers(0, len(numbers), size=(number, values), dtype=np.uint16)
        if finite < 1:
            drawn[random.random(drawn.shape) >= finite] = len(numbers)
        found.append(divergences(baseline, numbers, np.sort(drawn, axis=1, kind="stable")))
    return _quantile(np.concatenate(found))


def _divergence_of_many_numbers(
    baseline: NumericalStatistics, numbers: np.ndarray, values: int
) -> float:
    """Return about the quantile that very large samples have, without drawing each of their values.

    A large sample differs by its least and its greatest value, between which its buckets lie, whose
    ranks are those of the extremes of uniform numbers. Its counts add a chi-square variable over
    8 n ln 2, of as many degrees of freedom as there are further buckets with values. Source of its
    quantiles: E. B. Wilson and M. M. Hilferty, "The Distribution of Chi-Square", Proceedings of the
    National Academy of Sciences 17 (1931).
    """
    finite = values * math.fsum(baseline.counts) / baseline.present
    # Evenly spread points take the place of draws.
    step = np.arange(1, 500)[:, None]
    least, greatest, rank = (step * root % 1 for root in (2**0.5, 3**0.5, 5**0.5))
    first = ((1 - least ** (1 / finite)) * len(numbers)).astype(int)
    last = (greatest ** (1 / finite) * len(numbers)).astype(int).clip(max=len(numbers) - 1)
    low, high = numbers[first], numbers[last]
    edges = np.linspace(low[:, 0], high[:, 0], 11, axis=1)
    below = np.searchsorted(numbers, edges).clip(first, last + 1) - first
    below[:, -1:] = last + 1 - first
    found = _divergences(baseline, low, high, below * (finite / values / (last + 1 - first)))
    freedom = sum(count > 0 for count in baseline.counts) - 1 or 1
    normal = np.array(list(map(NormalDist().inv_cdf, rank[:, 0].tolist())))
    cube = 1 - 2 / (9 * freedom) + normal * math.sqrt(2 / (9 * freedom))
    return _quantile(found + freedom * cube**3 / (8 * values * math.log(2)))


def _draws(size: int) -> int:
    return min(_MAX_DRAWS, max(_MAX_DRAWN // size, _MIN_DRAWS))


def _parts(size: int) -> Iterable[int]:
    """Return how many samples of a size are drawn together, one part after the other."""
    at_once, number = max(_MAX_AT_ONCE // size, 1), _draws(size)
    return (min(at_once, number - drawn) for drawn in range(0, number, at_once))


def _quantile(found: np.ndarray) -> float:
    return float(np.quantile(found, 1 - CHANCE, method="higher"))


def quantiles_between(
    shares_below: Sequence[tuple[float, float]], values: float
) -> tuple[float, ...]:
    """Return the quantiles of which some are known: numbers in order, with the share below each.

    Between two of them the values lie evenly, or, in a tail, their log odds do: the extremes decide
    over a window's buckets. A tail is where the values lie clearly less densely than nearer to the
    median. The least and the greatest are each one of so many values.
    """
    numbers, shares = map(np.array, zip(*shares_below, strict=True))
    # Differences of the greatest floats would overflow.
    numbers = numbers * 2.0**-64
    one = 1 / max(values, 2)
    shares = np.maximum.accumulate(shares).clip(one, 1 - one)
    odds = np.log(shares / (1 - shares))
    below, above = np.arange(len(odds) - 1), np.arange(1, len(odds))
    is_upper = shares[1:] + shares[:-1] > 1
    near = np.where(is_upper, below, above)
    far = np.where(
        is_upper,
        np.searchsorted(odds, odds[:-1] - _TAIL_BASE, side="right") - 1,
        np.searchsorted(odds, odds[1:] + _TAIL_BASE),
    )
    is_known = (far >= 0) & (far < len(odds))
    far = np.where(is_known, far, near)
    # Without a division, as a bucket may be empty.
    width = np.diff(numbers) * abs(shares[near] - shares[far])
    usual_width = abs(numbers[near] - numbers[far]) * np.diff(shares)
    is_tail = is_known & (width > _TAIL_FACTOR * usual_width)
    place = np.searchsorted(shares, QUANTILES).clip(1, len(above)) - 1
    evenly, in_tail = np.interp(QUANTILES, shares, numbers), np.interp(_LOG_ODDS, odds, numbers)
    return tuple((np.where(is_tail[place], in_tail, evenly) * 2.0**64).tolist())


def _numbers(baseline: NumericalStatistics) -> np.ndarray:
    """Return finite values of the baseline that are equally likely, in order."""
    quantiles, slots = np.array(baseline.quantiles), (np.arange(_SLOTS) + 0.5) / _SLOTS
    if len(quantiles) == math.fsum(baseline.counts):
        return quantiles
    if len(quantiles) == len(QUANTILES):
        between = (_LOG_ODDS[1:] + _LOG_ODDS[:-1]) / 2
        return quantiles[np.searchsorted(between, np.log(slots / (1 - slots)))]
    below = np.cumsum([0.0, *baseline.counts]) / math.fsum(baseline.counts)
    return np.interp(slots, below, baseline.edges)


def divergences(
    baseline: NumericalStatistics, numbers: np.ndarray, windows: np.ndarray
) -> np.ndarray:
    """Return the Jensen-Shannon divergence of windows of equal size from a baseline, in bits.

    Each is `jensen_shannon_divergence` of the `bucket_shares` of baseline and window.

    Args:
        baseline: statistics with at least one present value.
        numbers: finite values, in order.
        windows: in each row the places of a window's values among the numbers, in order; what is
            not finite has the place behind the last.
    """
    numbers, nowhere = np.append(numbers, 0.0), np.int32(len(numbers))
    row = np.arange(len(windows), dtype=np.int32)[:, None]
    count = (windows < nowhere).sum(axis=1, keepdims=True)
    low, high = numbers[windows[:, :1]], numbers[windows[row, count - 1]]
    edges = np.linspace(low[:, 0], high[:, 0], 11, axis=1)
    # Rows lie behind each other, so that one search finds the values below the edges of each.
    place = np.searchsorted(numbers[:nowhere], edges).astype(np.int32)
    place[:, -1] = nowhere
    places = (windows + row * len(numbers)).ravel()
    below = np.searchsorted(places, place + row * len(numbers)) - row * windows.shape[1]
    return _divergences(baseline, low, high, below / windows.shape[1])


def _divergences(
    baseline: NumericalStatistics, low: np.ndarray, high: np.ndarray, below: np.ndarray
) -> np.ndarray:
    """Return the divergence of windows by the shares of values below the edges of ten buckets."""
    known, finite = np.array(baseline.edges or (0.0, 0.0)), math.fsum(baseline.counts)
    row, counts = np.arange(len(low))[:, None], np.diff(below)
    if baseline.is_point or not finite:
        at_point = (low == known[0]) & (high == known[0])
        before, after = np.full_like(low, finite), np.where(at_point, below[:, -1:], 0.0)
    else:
        edges = np.linspace(low[:, 0], high[:, 0], 11, axis=1)
        repeated = np.broadcast_to(known, (len(low), len(known)))
        grid: np.ndarray = np.sort(np.hstack([repeated, edges]), axis=1)
        before = np.diff(np.interp(grid, known, np.cumsum([0.0, *baseline.counts])))
        position = ((grid - low) / np.where(high > low, high - low, 1.0) * 10).clip(0, 10)
        bucket = np.minimum(position.astype(int), 9)
        after = np.diff(below[row, bucket] + counts[row, bucket] * (position - bucket))
        # All values of the window are equal, and match no bucket.
        after = np.where(high > low, after, 0.0)
    return _divergence(before / baseline.present, after)


def _divergence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the divergence of each row's shares; what is missing to 1 matches nothing."""
    unmatched = 2 - before.sum(axis=1) - after.sum(axis=1)
    mixed = _entropy((before + after) / 2) - (_entropy(before) + _entropy(after)) / 2
    return (mixed + unmatched / 2).clip(0, 1)


def _entropy(shares: np.ndarray) -> np.ndarray:
    return -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
