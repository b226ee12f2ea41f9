"""Properties that the distances have for all datasets, and a computation of its own beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from transak_drift.drift.drift_statistics import top_contributors
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import (
    STANDARD_BUCKETS,
    Bucket,
    Histogram,
    align_histograms,
    equal_width_edges,
    histogram_divergence,
)
from transak_drift_tests.drift.test_drift_statistics import distance

TOLERANCE = 1e-9

values = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
value_counts = st.dictionaries(values, st.integers(1, 10**12), min_size=1, max_size=30)
categorical = st.builds(CategoricalStatistics, value_counts, st.integers(0, 10**12))
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def numerical(draw: st.DrawFn, *, only_finite: bool = False) -> NumericalStatistics:
    """Draw a distribution with at least one present value."""
    first, second = draw(finite), draw(finite)
    low, high = min(first, second), max(first, second)
    kind = draw(st.sampled_from(["range", "point"] if only_finite else ["range", "point", "none"]))
    if kind == "none" or (kind == "range" and low == high):
        kind = "point" if only_finite else "none"
    edges: tuple[float, ...] = ()
    if kind == "point":
        edges = (low, low)
    elif kind == "range":
        edges = equal_width_edges(low, high)
    buckets = max(len(edges) - 1, 0)
    counts = draw(st.lists(st.integers(0, 10**9), min_size=buckets, max_size=buckets))
    others = st.just(0) if only_finite else st.integers(0, 10**6)
    found = NumericalStatistics(
        edges=edges,
        counts=tuple(float(count) for count in counts),
        minimum=edges[0] if edges else None,
        maximum=edges[-1] if edges else None,
        negative_infinities=draw(others),
        positive_infinities=draw(others),
        nan=draw(others),
        missing=draw(st.integers(0, 10**6)),
    )
    assume(found.present > 0)
    return found


@given(categorical, categorical)
def test_the_distance_of_categorical_features_is_that_of_numpy(
    baseline: CategoricalStatistics, target: CategoricalStatistics
) -> None:
    union = sorted({*baseline.counts, *target.counts})
    shares = [
        np.array([side.counts.get(value, 0) for value in union], dtype=np.float64)
        for side in (baseline, target)
    ]
    expected = np.linalg.norm(shares[0] / shares[0].sum() - shares[1] / shares[1].sum(), np.inf)
    found = distance(baseline, target)
    assert found == pytest.approx(float(expected), abs=TOLERANCE)
    assert 0 <= found <= 1
    assert distance(target, baseline) == found
    assert distance(baseline, baseline) == 0


@given(categorical, categorical, st.randoms(use_true_random=False))
def test_order_of_values_changes_nothing(
    baseline: CategoricalStatistics, target: CategoricalStatistics, random: Random
) -> None:
    shuffled = list(baseline.counts.items())
    random.shuffle(shuffled)
    reordered = replace(baseline, counts=dict(shuffled))
    assert top_contributors(reordered, target) == top_contributors(baseline, target)


@given(st.one_of(st.tuples(categorical, categorical), st.tuples(numerical(), numerical())))
def test_contributors_are_sorted_and_complete(
    pair: tuple[FeatureStatistics, FeatureStatistics],
) -> None:
    everything = top_contributors(*pair, limit=10_000)
    changes = [contributor.change for contributor in everything]
    assert [abs(change) for change in changes] == sorted(map(abs, changes), reverse=True)
    assert math.fsum(changes) == pytest.approx(0, abs=TOLERANCE)
    assert top_contributors(*pair, limit=2) == everything[:2]


@given(numerical(), numerical())
def test_divergence_is_symmetric_and_between_0_and_1(
    baseline: NumericalStatistics, target: NumericalStatistics
) -> None:
    found = distance(baseline, target)
    assert 0 <= found <= 1
    assert distance(target, baseline) == pytest.approx(found, abs=TOLERANCE)


@given(numerical(only_finite=True))
def test_divergence_of_finite_values_to_themselves_is_0(statistics: NumericalStatistics) -> None:
    assert distance(statistics, statistics) == 0


@given(numerical(), numerical())
def test_alignment_loses_no_mass(
    baseline: NumericalStatistics, target: NumericalStatistics
) -> None:
    aligned = align_histograms(baseline.histogram, target.histogram)
    for side, statistics in (("baseline", baseline), ("target", target)):
        total = math.fsum(getattr(bucket, side) for bucket in aligned)
        assert total == pytest.approx(statistics.present, rel=TOLERANCE)


moderate = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
cells = st.lists(moderate | st.sampled_from([math.nan, math.inf, -math.inf]), min_size=1)


@given(cells, cells)
def test_divergence_is_that_of_cumulative_distributions(
    baseline: list[float], target: list[float]
) -> None:
    found = distance(_statistics(baseline), _statistics(target))
    assert found == pytest.approx(_independent_divergence(baseline, target), abs=TOLERANCE)


def _statistics(rows: Sequence[float]) -> NumericalStatistics:
    counts = Counter(rows)
    values = np.array([row for row in rows if math.isfinite(row)])
    edges: tuple[float, ...] = ()
    buckets: list[float] = []
    if len(set(values)) > 1:
        histogram, bounds = np.histogram(values, bins=STANDARD_BUCKETS)
        buckets, edges = [float(n) for n in histogram], tuple(float(bound) for bound in bounds)
    elif len(values):
        buckets, edges = [float(len(values))], (float(values[0]),) * 2
    return NumericalStatistics(
        edges=edges,
        counts=tuple(buckets),
        minimum=edges[0] if edges else None,
        maximum=edges[-1] if edges else None,
        negative_infinities=counts[-math.inf],
        positive_infinities=counts[math.inf],
        nan=sum(math.isnan(row) for row in rows),
    )


def _independent_divergence(baseline: Sequence[float], target: Sequence[float]) -> float:
    """Return scipy's divergence over the piecewise linear cumulative counts of both sides.

    Mass that lies evenly in a bucket is a straight piece of the cumulative count, so its values at
    the union of the edges give the aligned buckets by interpolation and differences.
    """
    ranged: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    points: list[dict[float, int]] = [{}, {}]
    unmatched: list[list[int]] = [[], []]
    for side, rows in enumerate((baseline, target)):
        array = np.array(rows)
        unmatched[side] = [int(np.isnan(array).sum()), int(np.isinf(array).sum())]
        kept = array[np.isfinite(array)]
        if kept.size and kept.min() == kept.max():
            points[side] = {float(kept[0]): kept.size}
        elif kept.size:
            counts, edges = np.histogram(kept, bins=10)
            ranged[side] = (edges, np.concatenate([[0], np.cumsum(counts)]))
    grid = np.unique(np.concatenate([edges for edges, _ in ranged.values()] or [np.array([])]))
    masses = []
    for side in (0, 1):
        wide = (
            np.diff(np.interp(grid, *ranged[side])) if side in ranged else np.zeros(grid.size)[1:]
        )
        at_points = [points[side].get(point, 0) for point in sorted({*points[0], *points[1]})]
        own, other = unmatched[side], [0] * len(unmatched[1 - side])
        alone = [*own, *other] if side == 0 else [*other, *own]
        masses.append(np.concatenate([wide, at_points, alone]))
    return float(jensenshannon(masses[0], masses[1], base=2) ** 2)


@given(finite, finite, st.integers(1, 20))
def test_edges_ascend_from_the_minimum_to_the_maximum(
    first: float, second: float, buckets: int
) -> None:
    low, high = min(first, second), max(first, second)
    assume(low < high)
    edges = equal_width_edges(low, high, buckets)
    assert (edges[0], edges[-1]) == (low, high)
    assert all(before < after for before, after in pairwise(edges))
    assert len(edges) <= buckets + 1


@given(moderate, moderate)
def test_edges_are_those_of_numpy(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    assume(low < high)
    assert equal_width_edges(low, high) == tuple(np.linspace(low, high, STANDARD_BUCKETS + 1))


@given(st.floats(-100, 100), st.floats(0.001, 100), st.floats(0, 1))
def test_mass_spread_evenly_equals_the_same_mass_in_finer_buckets(
    low: float, width: float, place: float
) -> None:
    middle, high = low + width * place, low + width
    assume(low < middle < high)
    coarse = Histogram((Bucket(low, high, 12),))
    share = (middle - low) / (high - low)
    fine = Histogram((Bucket(low, middle, 5 * share), Bucket(middle, high, 5 * (1 - share))))
    assert histogram_divergence(coarse, fine) == pytest.approx(0, abs=TOLERANCE)


@given(
    st.dictionaries(values, categorical | numerical(), max_size=4),
)
def test_json_loses_nothing(features: dict[str, FeatureStatistics]) -> None:
    rows = max((int(f.present) + f.missing for f in features.values()), default=0)
    filled = {
        name: replace(feature, missing=rows - int(feature.present))
        for name, feature in features.items()
    }
    statistics = DatasetStatistics(rows, filled)
    text = statistics.to_json()
    assert DatasetStatistics.from_json(text) == DatasetStatistics.from_json(text.encode())
    assert DatasetStatistics.from_json(text) == statistics
