"""Distances worked out by hand, what cannot be compared, and what holds for all datasets."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from transak_drift.drift.drift_statistics import bucket_shares, top_contributors
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import NO_BASELINE, NO_BOOKINGS, FeatureDrift
from transak_drift.local.dataset_statistics import equal_width_edges
from transak_drift_tests.drift.datasets import compare, distance

TRANSFERS = CategoricalStatistics({"CARD": 60, "TRANSFER": 30, "FEE": 10}, missing=7)
CARDS = CategoricalStatistics({"CARD": 180, "TWINT": 20})
NO_VALUE = CategoricalStatistics({}, missing=3)
GREATEST = 1.7e308


def _point(value: float, count: int, *, nan: int = 0, missing: int = 0) -> NumericalStatistics:
    return NumericalStatistics((value, value), (count,), nan=nan, missing=missing)


def test_nulls_count_nowhere_unseen_values_as_0_and_the_greatest_change_comes_first() -> None:
    found = compare(TRANSFERS, CARDS)
    assert found.distance == pytest.approx(0.3)
    assert found.metric == "l_infinity"
    top = top_contributors(TRANSFERS, CARDS, limit=3)
    assert top == found.contributors[:3]
    assert [(item.value, item.baseline_share, item.target_share) for item in top] == [
        ("CARD", 0.6, 0.9),
        ("TRANSFER", 0.3, 0.0),
        ("FEE", 0.1, 0.0),
    ]
    assert [item.change for item in top] == pytest.approx([0.3, -0.3, -0.1])
    assert top_contributors(TRANSFERS, TRANSFERS) == ()


@pytest.mark.parametrize(
    ("baseline", "target", "expected"),
    [
        # (0, 4) holds one bucket's mass, of which half is in (0, 2): P = (1/2, 1/2), Q = (1, 0).
        (
            NumericalStatistics((0.0, 4.0), (6,)),
            NumericalStatistics((0.0, 2.0), (3,)),
            (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(2) + math.log2(1 / 0.75)) / 2,
        ),
        # The same, and a range beyond the greatest float.
        (
            NumericalStatistics((-GREATEST, GREATEST), (4,)),
            NumericalStatistics((0.0, GREATEST), (4,)),
            (0.5 * math.log2(2) + 0.5 * math.log2(0.5 / 0.75) + math.log2(1 / 0.75)) / 2,
        ),
        # Infinities and NaN match nothing of the other side.
        (*[NumericalStatistics((), (), positive_infinities=2, nan=2)] * 2, 1.0),
    ],
)
def test_the_divergence_is_worked_out_by_hand(
    baseline: NumericalStatistics, target: NumericalStatistics, expected: float
) -> None:
    assert distance(baseline, target) == pytest.approx(expected, abs=1e-12)


@given(*[st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(1, 10**6))] * 2)
def test_the_divergence_of_categories_is_scipys(
    before: dict[str, int], after: dict[str, int]
) -> None:
    assume(before and after)
    values = sorted(before | after)
    shares = [[counts.get(value, 0) for value in values] for counts in (before, after)]
    found = compare(
        CategoricalStatistics(before, missing=1),
        CategoricalStatistics(after),
        "jensen_shannon_divergence",
    )
    assert found.metric == "jensen_shannon_divergence"
    expected = np.nan_to_num(jensenshannon(*shares, base=2)) ** 2
    assert found.distance == pytest.approx(expected, abs=1e-9)
    # What changed most is the same by either metric.
    greatest = compare(CategoricalStatistics(before), CategoricalStatistics(after))
    assert found.contributors == greatest.contributors


def test_the_divergence_of_many_categories_counts_them_all() -> None:
    before = CategoricalStatistics({f"value {n}": 1 for n in range(64)})
    after = CategoricalStatistics({f"value {n}": 1 for n in range(32, 96)})
    found = compare(before, after, "jensen_shannon_divergence")
    # Half of the mass of either side is of values that the other has not.
    assert (found.distance, len(found.contributors)) == (0.5, 10)


def test_buckets_are_contributors_of_numerical_features() -> None:
    found = compare(NumericalStatistics((0.0, 4.0), (6,)), NumericalStatistics((0.0, 2.0), (3,)))
    assert found.metric == "jensen_shannon_divergence"
    assert [(c.value, c.baseline_share, c.target_share) for c in found.contributors] == [
        ("0.0 to 2.0", 0.5, 1.0),
        ("2.0 to 4.0", 0.5, 0.0),
    ]
    points = compare(_point(1.0, 100), _point(2.0, 200, nan=1))
    assert [item.value for item in points.contributors] == ["1.0", "2.0", "NaN (target)"]


@pytest.mark.parametrize(
    ("baseline", "target", "told"),
    [
        (TRANSFERS, NO_VALUE, "no value in the target dataset: column 'type' is empty"),
        (NO_VALUE, CARDS, f"{NO_BASELINE}: column 'type' is empty in all 3 rows"),
        (CategoricalStatistics({}), CARDS, f"{NO_BASELINE}: column 'type' is empty in all 0 rows"),
        # An all-null column may have no type, and so another kind.
        (_point(1.0, 1), NO_VALUE, "no value in the target dataset"),
    ],
)
def test_a_feature_without_a_value_is_told_with_its_side(
    baseline: FeatureStatistics, target: FeatureStatistics, told: str
) -> None:
    found = compare(baseline, target)
    assert (found.distance, found.verdict) == (None, "no data")
    assert found.note.startswith(told)
    assert top_contributors(baseline, target) == ()


def test_a_day_without_rows_has_no_bookings() -> None:
    found = compare(_point(1.0, 1), CategoricalStatistics({}))
    assert (found.note, found.metric) == (NO_BOOKINGS, "jensen_shannon_divergence")


@pytest.mark.parametrize(("found", "kept"), [(1.0000000000000002, 1.0), (1.0, 1.0), (0.999, 0.999)])
def test_a_distance_a_hair_above_1_is_1(found: float, kept: float) -> None:
    result = FeatureDrift(feature="amount", metric="", distance=found, threshold=1.0)
    assert (result.distance, result.drifted) == (kept, False)


TOLERANCE = 1e-9

values = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
value_counts = st.dictionaries(values, st.integers(1, 10**12), min_size=1, max_size=30)
categoricals = st.builds(CategoricalStatistics, value_counts, st.integers(0, 10**12))
finite = st.floats(allow_nan=False, allow_infinity=False)
some = st.integers(0, 1000)


def histogram(
    ends: tuple[float, float], counts: list[int], others: tuple[int, int, int, int]
) -> NumericalStatistics:
    low, high = sorted(ends)
    edges = equal_width_edges(low, high) if low < high else (low, high)
    return NumericalStatistics(edges, tuple(counts[1 : len(edges)]), *others)


numericals = st.builds(
    histogram,
    st.tuples(finite, finite),
    st.lists(st.integers(1, 1000), min_size=11, max_size=11),
    st.tuples(some, some, some, some),
)
pairs = st.tuples(categoricals, categoricals) | st.tuples(numericals, numericals)


# Each distance has its chance simulated.
@settings(max_examples=40)
@given(pairs)
def test_a_distance_is_symmetric_and_at_most_1(
    pair: tuple[FeatureStatistics, FeatureStatistics],
) -> None:
    found = distance(*pair)
    assert 0 <= found <= 1
    assert distance(*reversed(pair)) == pytest.approx(found, abs=TOLERANCE)


@given(pairs, st.randoms(use_true_random=False))
def test_contributors_are_sorted_and_complete_whatever_the_order_of_values(
    pair: tuple[FeatureStatistics, FeatureStatistics], random: Random
) -> None:
    everything = top_contributors(*pair, limit=10_000)
    changes = [contributor.change for contributor in everything]
    assert [abs(change) for change in changes] == sorted(map(abs, changes), reverse=True)
    assert math.fsum(changes) == pytest.approx(0, abs=TOLERANCE)
    assert top_contributors(*pair, limit=2) == everything[:2]
    if isinstance(pair[0], CategoricalStatistics):
        shuffled = list(pair[0].counts.items())
        random.shuffle(shuffled)
        reordered = replace(pair[0], counts=dict(shuffled))
        assert top_contributors(reordered, pair[1], limit=2) == everything[:2]


@given(numericals, numericals)
def test_alignment_loses_no_mass(
    baseline: NumericalStatistics, target: NumericalStatistics
) -> None:
    aligned = bucket_shares(baseline, target)
    assert math.fsum(share for _, share, _ in aligned) == pytest.approx(1, rel=TOLERANCE)
    assert math.fsum(share for _, _, share in aligned) == pytest.approx(1, rel=TOLERANCE)


@given(finite, finite)
def test_edges_ascend_from_the_minimum_to_the_maximum(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    assume(low < high)
    edges = equal_width_edges(low, high)
    assert (edges[0], edges[-1]) == (low, high)
    assert all(before < after for before, after in pairwise(edges))
    assert len(edges) <= 11


@given(st.dictionaries(values, categoricals | numericals, max_size=4))
def test_json_loses_nothing(features: dict[str, FeatureStatistics]) -> None:
    rows = max((int(f.present) + f.missing for f in features.values()), default=0)
    filled = {
        name: replace(feature, missing=rows - int(feature.present))
        for name, feature in features.items()
    }
    statistics = DatasetStatistics(rows, filled)
    assert DatasetStatistics.from_json(statistics.to_json()) == statistics
