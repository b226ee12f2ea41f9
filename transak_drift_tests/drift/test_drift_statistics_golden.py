"""Our distances against those that TensorFlow Data Validation reports.

The vectors are made by `data/make_tfdv_golden_vectors.py`.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.drift.drift_statistics import (
    bucket_shares,
    jensen_shannon_divergence,
    top_contributors,
)
from transak_drift.drift.feature_statistics import FeatureKind, NumericalStatistics
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift_tests.drift.datasets import categorical, distance

TOLERANCE = 1e-9


def _vectors(name: str) -> list[Any]:
    path = Path(__file__).parent / "data" / name
    return [
        pytest.param(vector, id=vector["name"])
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
    ]


CATEGORICAL = _vectors("tfdv_l_infinity.json")
NUMERICAL = _vectors("tfdv_jensen_shannon_divergence.json")


def _reported(document: dict[str, Any]) -> NumericalStatistics:
    """Return TFDV's STANDARD histogram, whose counts a quantile sketch estimates."""
    buckets = [(float(low), float(high), count) for low, high, count in document["buckets"]]
    finite = [bucket for bucket in buckets if math.isfinite(bucket[0])]
    infinite = {low: int(count) for low, _, count in buckets if math.isinf(low)}
    return NumericalStatistics(
        edges=(*(low for low, _, _ in finite), finite[-1][1]),
        counts=tuple(count for _, _, count in finite),
        negative_infinities=infinite.get(-math.inf, 0),
        positive_infinities=infinite.get(math.inf, 0),
        nan=int(document["nan_count"]),
    )


def _counted(rows: list[Any], directory: Path) -> NumericalStatistics:
    """Return our own statistics of rows in a file; a text is NaN or an infinity."""
    column = pa.array([None if row is None else float(row) for row in rows], pa.float64())
    pq.write_table(pa.table({"x": column}), directory / "a.parquet")
    scanned = scan_statistics([directory / "a.parquet"], {"x": FeatureKind.NUMERICAL})
    found = scanned.features["x"]
    assert isinstance(found, NumericalStatistics)
    return found


def _divergence(sides: list[NumericalStatistics]) -> float:
    return jensen_shannon_divergence(bucket_shares(*sides))


def _as_tfdv_counts(sides: list[NumericalStatistics]) -> list[NumericalStatistics]:
    # TFDV forgets the NaN values where it re-buckets (see bucket_shares), and we do not.
    if sides[0].edges == sides[1].edges:
        return sides
    return [replace(side, nan=0) for side in sides]


@pytest.mark.parametrize("vector", CATEGORICAL)
def test_l_infinity_distance_of_raw_rows_is_that_of_tfdv(vector: dict[str, Any]) -> None:
    baseline, target = categorical(vector["baseline_rows"]), categorical(vector["target_rows"])
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
def test_divergence_is_that_of_tfdv(tmp_path: Path, vector: dict[str, Any]) -> None:
    reported = [_reported(vector[f"{side}_histogram"]) for side in ("baseline", "target")]
    counted = _as_tfdv_counts(reported)
    assert _divergence(counted) == pytest.approx(vector["distance"], abs=TOLERANCE)
    if counted != reported:
        assert _divergence(reported) > vector["distance"] + 0.001
    # Our own counts are exact, those of the sketch are not.
    rows = [_counted(vector[f"{side}_rows"], tmp_path) for side in ("baseline", "target")]
    assert _divergence(_as_tfdv_counts(rows)) == pytest.approx(vector["distance"], abs=0.005)


@pytest.mark.parametrize("vector", NUMERICAL)
@pytest.mark.parametrize("side", ["baseline", "target"])
def test_standard_histogram_has_the_buckets_of_tfdv(
    tmp_path: Path, vector: dict[str, Any], side: str
) -> None:
    rows = vector[f"{side}_rows"]
    ours, theirs = _counted(rows, tmp_path), _reported(vector[f"{side}_histogram"])
    assert replace(ours, counts=theirs.counts, missing=0) == theirs
    assert sum(ours.counts) == pytest.approx(sum(theirs.counts))
    # TFDV estimates the counts from a quantile sketch: it puts a value on an inner edge into the
    # bucket below, where numpy and we count it above, and interpolates between its quantiles,
    # which moves up to a value or so across an edge. Ours are exact.
    inner = set(ours.edges[1:-1])
    for place, (our_count, their_count) in enumerate(zip(ours.counts, theirs.counts, strict=True)):
        on_edges = sum(row in inner & {*ours.edges[place : place + 2]} for row in rows)
        assert abs(our_count - their_count) <= on_edges + 0.5
