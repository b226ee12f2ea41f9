"""The distance by chance, against every possible window, and against windows that are drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import RetrainPolicy
from transak_drift.drift.chance import (
    CHANCE,
    MAX_DRAWN_VALUES,
    MAX_EXACT_VALUES,
    MAX_KEPT_NUMBERS,
    distance_by_chance,
    divergence_by_chance,
    divergences,
    l_infinity_by_chance,
)
from transak_drift.drift.drift_statistics import bucket_shares, jensen_shannon_divergence
from transak_drift.drift.feature_statistics import CategoricalStatistics, NumericalStatistics
from transak_drift_tests.drift.datasets import compare, numerical

cells = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 0.5, 1.0, math.nan])
MANY_VALUES = [int(2_000 / place**0.9) + 1 for place in range(1, 300)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 8))
def test_it_is_the_quantile_over_every_possible_window(counts: list[int], values: int) -> None:
    shares = np.array(counts) / sum(counts)
    probabilities: dict[float, float] = defaultdict(float)
    for window in combinations_with_replacement(range(len(counts)), values):
        found = np.bincount(window, minlength=len(counts))
        logarithm = math.lgamma(values + 1) - sum(math.lgamma(count + 1) for count in found)
        probability = math.exp(logarithm + float(found @ np.log(shares)))
        probabilities[float(np.abs(found / values - shares).max())] += probability
    by_chance = l_infinity_by_chance(counts, values)
    beyond = sum(share for found, share in probabilities.items() if found > by_chance + 1e-9)
    reached = sum(share for found, share in probabilities.items() if found >= by_chance - 1e-9)
    assert beyond <= CHANCE + 1e-6 and reached >= CHANCE - 1e-6


@pytest.mark.parametrize(
    "counts",
    [[700, 300], [970, 10, 10, 10], [9_900, *range(1, 20)], [1] * 8, MANY_VALUES],
)
@pytest.mark.parametrize("values", [10, 300, 5_000])
def test_it_is_the_quantile_of_windows_that_are_drawn(counts: list[int], values: int) -> None:
    draws, shares = 20_000, np.array(counts) / sum(counts)
    drawn = np.random.default_rng(11).multinomial(values, shares, size=draws)
    found = np.sort(np.abs(drawn / values - shares).max(axis=1))
    # Five standard errors of a share of 5 %.
    error = 5 * math.sqrt(CHANCE * (1 - CHANCE) / draws)
    least, most = (found[int((1 - CHANCE + sign * error) * draws)] for sign in (-1, 1))
    assert least - 1e-8 <= l_infinity_by_chance(counts, values) <= most + 1e-8


@pytest.mark.parametrize("counts", [[700, 300], [970, 10, 10, 10], [1] * 8, MANY_VALUES, [5]])
def test_of_more_values_it_goes_on_as_it_was(counts: list[int]) -> None:
    exact = l_infinity_by_chance(counts, MAX_EXACT_VALUES)
    assert l_infinity_by_chance(counts, MAX_EXACT_VALUES + 1) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("values", [10, 300])
@pytest.mark.parametrize("counts", [[970, 10, 10, 10], MANY_VALUES])
def test_it_is_the_quantile_of_the_divergence_of_categories(counts: list[int], values: int) -> None:
    shares = np.array(counts) / sum(counts)
    found = [
        jensen_shannon_divergence(("", *pair) for pair in zip(shares, window, strict=True))
        for window in np.random.default_rng(2).multinomial(values, shares, size=1_500) / values
    ]
    assert divergence_by_chance(counts, values) == pytest.approx(np.quantile(found, 0.95), rel=0.08)


@given(
    st.lists(cells, min_size=1, max_size=40),
    st.integers(1, 20).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
)
def test_the_divergence_of_many_windows_is_that_of_each(
    baseline: list[float], windows: list[list[float]]
) -> None:
    before, drawn = numerical(baseline), np.array(windows)
    numbers = np.unique(drawn[np.isfinite(drawn)])
    # What is no number is sorted behind all numbers.
    places = np.sort(np.searchsorted(numbers, drawn), axis=1).astype(np.uint16)
    expected = [
        jensen_shannon_divergence(bucket_shares(before, numerical(window))) for window in windows
    ]
    assert divergences(before, numbers, places) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("few values", 50),
        ("heavy tail", 300),
        ("with NaN", 5),
        ("more than are kept", 300),
        ("more than are kept", MAX_DRAWN_VALUES + 1),
    ],
)
def test_it_is_the_quantile_of_numerical_windows_that_are_drawn(kind: str, values: int) -> None:
    random = np.random.default_rng(3)
    rows = {
        "few values": random.integers(0, 5, size=800).astype(float),
        "heavy tail": random.lognormal(3, 1.5, size=900),
        "with NaN": np.where(random.random(900) < 0.1, math.nan, random.normal(size=900)),
        "more than are kept": random.lognormal(3, 1.5, size=MAX_KEPT_NUMBERS + 1)
        * random.choice([-1, 1], MAX_KEPT_NUMBERS + 1),
    }[kind]
    baseline = numerical(rows)
    found = [
        jensen_shannon_divergence(bucket_shares(baseline, numerical(random.choice(rows, values))))
        for _ in range(1_000)
    ]
    assert distance_by_chance(baseline, values) == pytest.approx(np.quantile(found, 0.95), rel=0.08)


def test_without_numbers_the_buckets_tell() -> None:
    rows = np.random.default_rng(5).uniform(size=2_000)
    known = numerical(rows)
    buckets = NumericalStatistics(known.edges, known.counts)
    # Within a bucket rows are not quite even.
    assert distance_by_chance(buckets, 300) == pytest.approx(distance_by_chance(known, 300), 0.2)
    # The greatest floats differ as others do.
    far = numerical((rows - 0.5) * 2 * 1.5e308)
    assert distance_by_chance(far, 300) == pytest.approx(distance_by_chance(known, 300), 0.05)
    for values in (3, 100_000):
        assert distance_by_chance(numerical([2.0] * 5), values) == pytest.approx(0, abs=1e-5)
        assert distance_by_chance(numerical([math.nan] * 5), values) == 1


def test_what_chance_or_too_few_rows_explain_is_no_drift() -> None:
    baseline = CategoricalStatistics({"a": 700, "b": 300})
    policy, bold = RetrainPolicy(minimum_target_rows=10), RetrainPolicy(beyond_chance=False)
    for a, verdict in ((4, "by chance"), (3, "drift")):
        found = compare(baseline, CategoricalStatistics({"a": a, "b": 10 - a}))
        judged = found.judged(0.2, 10, policy)
        assert found.by_chance == pytest.approx(0.3)
        assert (judged.verdict, judged.is_above_threshold) == (verdict, True)
        assert judged.drifted == (not judged.dismissed) == (verdict == "drift")
        assert found.judged(0.2, 10, bold).verdict == "too few rows"
        assert (
            found.judged(0.2, 10, RetrainPolicy())
            .summary()
            .endswith(" > 0.2 (too few rows: 10, minimum_target_rows asks for 20)")
        )
        # Rows that are not told are no reason.
        assert found.judged(0.2, None, bold).drifted
        assert found.judged(0.5, 10, RetrainPolicy()).verdict == "ok"
