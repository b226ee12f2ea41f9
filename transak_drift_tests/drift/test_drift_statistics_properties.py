"""Properties that the distances have for all datasets."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transak_drift.drift.drift_statistics import bucket_shares, top_contributors
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.local.dataset_statistics import equal_width_edges
from transak_drift_tests.drift.datasets import distance, numerical

TOLERANCE = 1e-9

values = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
value_counts = st.dictionaries(values, st.integers(1, 10**12), min_size=1, max_size=30)
categoricals = st.builds(CategoricalStatistics, value_counts, st.integers(0, 10**12))
finite = st.floats(allow_nan=False, allow_infinity=False)
cells = st.none() | st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
numericals = st.lists(cells).map(numerical).filter(lambda found: found.present > 0)


@given(categoricals, categoricals)
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


@given(
    st.one_of(st.tuples(categoricals, categoricals), st.tuples(numericals, numericals)),
    st.randoms(use_true_random=False),
)
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
def test_divergence_is_symmetric_and_alignment_loses_no_mass(
    baseline: NumericalStatistics, target: NumericalStatistics
) -> None:
    found = distance(baseline, target)
    assert 0 <= found <= 1
    assert distance(target, baseline) == pytest.approx(found, abs=TOLERANCE)
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
    assert distance(numerical([low, high]), numerical([low, high])) == 0


@given(st.dictionaries(values, categoricals | numericals, max_size=4))
def test_json_loses_nothing(features: dict[str, FeatureStatistics]) -> None:
    rows = max((int(f.present) + f.missing for f in features.values()), default=0)
    filled = {
        name: replace(feature, missing=rows - int(feature.present))
        for name, feature in features.items()
    }
    statistics = DatasetStatistics(rows, filled)
    assert DatasetStatistics.from_json(statistics.to_json()) == statistics
