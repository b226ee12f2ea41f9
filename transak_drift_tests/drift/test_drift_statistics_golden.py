"""Our distances against those that TensorFlow Data Validation reports.

The vectors are made by `data/make_tfdv_golden_vectors.py`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transak_drift.drift.drift_statistics import top_contributors
from transak_drift.drift.feature_statistics import CategoricalStatistics, NumericalStatistics
from transak_drift.drift.histogram import Bucket, Histogram, equal_width_edges, histogram_divergence
from transak_drift_tests.drift.test_drift_statistics import distance

TOLERANCE = 1e-9


def _vectors(name: str) -> list[Any]:
    path = Path(__file__).parent / "data" / name
    return [
        pytest.param(vector, id=vector["name"])
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
    ]


CATEGORICAL = _vectors("tfdv_l_infinity.json")
NUMERICAL = _vectors("tfdv_jensen_shannon_divergence.json")


def _categorical(rows: list[str | None]) -> CategoricalStatistics:
    counts = Counter(row for row in rows if row is not None)
    return CategoricalStatistics(counts, len(rows) - counts.total())


def _histogram(document: dict[str, Any]) -> Histogram:
    return Histogram(
        tuple(Bucket(float(low), float(high), count) for low, high, count in document["buckets"]),
        document["nan_count"],
    )


def _numerical(rows: list[float | str | None]) -> NumericalStatistics:
    values = np.array([float(row) for row in rows if row is not None])
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    edges = equal_width_edges(low, high) if low < high else (low, high)
    counts = np.histogram(finite, bins=list(edges))[0] if low < high else [len(finite)]
    return NumericalStatistics(
        edges=edges,
        counts=tuple(float(count) for count in counts),
        minimum=low,
        maximum=high,
        negative_infinities=int(np.isneginf(values).sum()),
        positive_infinities=int(np.isposinf(values).sum()),
        nan=int(np.isnan(values).sum()),
        missing=len(rows) - len(values),
    )


@pytest.mark.parametrize("vector", CATEGORICAL)
def test_l_infinity_distance_of_raw_rows_is_that_of_tfdv(vector: dict[str, Any]) -> None:
    baseline, target = _categorical(vector["baseline_rows"]), _categorical(vector["target_rows"])
    assert baseline.counts == vector["baseline_counts"]
    assert target.counts == vector["target_counts"]
    found = distance(baseline, target)
    assert found == pytest.approx(vector["distance"], abs=TOLERANCE)
    if vector["distance"]:  # without a difference TFDV reports no anomaly and names no value
        changes = {
            item.value: abs(item.change) for item in top_contributors(baseline, target, 1000)
        }
        assert changes[vector["value"]] == pytest.approx(found, abs=TOLERANCE)


@pytest.mark.parametrize("vector", NUMERICAL)
def test_divergence_of_tfdv_histograms_is_that_of_tfdv(vector: dict[str, Any]) -> None:
    baseline = _histogram(vector["baseline_histogram"])
    target = _histogram(vector["target_histogram"])
    if (baseline.nan_count or target.nan_count) and not _same_bounds(baseline, target):
        # TFDV forgets the NaN values where it re-buckets (see align_histograms), and we do not.
        assert histogram_divergence(baseline, target) > vector["distance"] + 0.001
        baseline, target = replace(baseline, nan_count=0), replace(target, nan_count=0)
    divergence = histogram_divergence(baseline, target)
    assert divergence == pytest.approx(vector["distance"], abs=TOLERANCE)


@pytest.mark.parametrize("vector", NUMERICAL)
@pytest.mark.parametrize("side", ["baseline", "target"])
def test_standard_histogram_has_the_buckets_of_tfdv(vector: dict[str, Any], side: str) -> None:
    rows = vector[f"{side}_rows"]
    ours, theirs = _numerical(rows).histogram, _histogram(vector[f"{side}_histogram"])
    assert [(bucket.low, bucket.high) for bucket in ours.buckets] == [
        (bucket.low, bucket.high) for bucket in theirs.buckets
    ]
    assert ours.nan_count == theirs.nan_count
    totals = [sum(bucket.count for bucket in side.buckets) for side in (ours, theirs)]
    assert totals[0] == pytest.approx(totals[1])
    # TFDV estimates the counts from a quantile sketch: it puts a value on an inner edge into the
    # bucket below, where numpy and we count it above, and interpolates between its quantiles,
    # which moves up to a value or so across an edge. Ours are exact.
    inner_edges = {bucket.low for bucket in ours.buckets[1:]}
    for our_bucket, their_bucket in zip(ours.buckets, theirs.buckets, strict=True):
        on_edges = sum(
            row in inner_edges & {our_bucket.low, our_bucket.high}
            for row in rows
            if isinstance(row, float)
        )
        allowed = on_edges + 0.5
        assert abs(our_bucket.count - their_bucket.count) <= allowed


@pytest.mark.parametrize("vector", NUMERICAL)
def test_exact_divergence_of_raw_rows_is_near_that_of_the_sketch(vector: dict[str, Any]) -> None:
    baseline, target = _numerical(vector["baseline_rows"]), _numerical(vector["target_rows"])
    if (baseline.minimum, baseline.maximum) != (target.minimum, target.maximum):
        baseline, target = replace(baseline, nan=0), replace(target, nan=0)
    divergence = distance(baseline, target)
    assert divergence == pytest.approx(vector["distance"], abs=0.005)


def _same_bounds(first: Histogram, second: Histogram) -> bool:
    return _finite_bounds(first) == _finite_bounds(second)


def _finite_bounds(histogram: Histogram) -> set[float]:
    return {
        bound
        for bucket in histogram.buckets
        for bound in (bucket.low, bucket.high)
        if math.isfinite(bound) and bucket.low < bucket.high
    }
