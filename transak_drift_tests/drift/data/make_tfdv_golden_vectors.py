"""Compute the golden vectors that the drift statistics are tested against, from their rows.

Run it with TensorFlow Data Validation 1.16.1 (Python 3.11), in an environment of its own, since
its dependencies are older than the project's:

    uv venv --python 3.11 tfdv && uv pip install --python tfdv/bin/python \
        tensorflow-data-validation==1.16.1 dill "setuptools<80"
    tfdv/bin/python transak_drift_tests/drift/data/make_tfdv_golden_vectors.py

Each vector in the JSON files has a name and the rows of two datasets (null, or "nan", "inf", "-inf"
for the floats that JSON lacks), which are read. Written beside them are TFDV's own statistics, and
the distance that `validate_statistics` reports with the drift comparators `infinity_norm` and
`jensen_shannon_divergence`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv  # ty: ignore[import-not-found]
from tensorflow_data_validation.statistics import stats_impl  # ty: ignore[import-not-found]
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2  # ty: ignore[import-not-found]

DIRECTORY = Path(__file__).parent
FEATURE = "feature"
SIDES = ("baseline", "target")
# Far above the vectors' distinct values, so that TFDV leaves none of them out.
RANK_HISTOGRAM_BUCKETS = 100_000

Rows = Sequence[str | None] | Sequence[float | None]
Vector = dict[str, Any]


def statistics_of(rows: Rows, type_: pa.DataType) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Return TFDV's statistics of one dataset with one feature."""
    column = pa.array([None if row is None else [row] for row in rows], pa.list_(type_))
    batch = pa.RecordBatch.from_arrays([column], [FEATURE])
    options = tfdv.StatsOptions(num_rank_histogram_buckets=RANK_HISTOGRAM_BUCKETS)
    return stats_impl.generate_statistics_in_memory(batch, options)


def reported_drift(
    baseline: statistics_pb2.DatasetFeatureStatisticsList,
    target: statistics_pb2.DatasetFeatureStatisticsList,
    comparator: str,
) -> tuple[float, str]:
    """Return the distance that `validate_statistics` reports, and its words about the drift."""
    schema = tfdv.infer_schema(baseline)
    feature = tfdv.get_feature(schema, FEATURE)
    # What drifts is all that is to be reported.
    feature.ClearField("domain")
    feature.ClearField("presence")
    del schema.string_domain[:]
    getattr(feature.drift_comparator, comparator).threshold = 0.0
    anomalies = tfdv.validate_statistics(target, schema, previous_statistics=baseline)
    (drift,) = anomalies.drift_skew_info[0].drift_measurements
    reasons = [
        reason.description
        for reason in anomalies.anomaly_info[FEATURE].reason
        if reason.type == anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH
    ]
    return drift.value, " ".join(reasons)


def standard_histogram(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
) -> dict[str, object]:
    """Return TFDV's STANDARD histogram of the feature."""
    (histogram,) = [
        histogram
        for histogram in statistics.datasets[0].features[0].num_stats.histograms
        if histogram.type == statistics_pb2.Histogram.STANDARD
    ]
    return {
        "buckets": [
            [_json_float(bucket.low_value), _json_float(bucket.high_value), bucket.sample_count]
            for bucket in histogram.buckets
        ],
        "nan_count": histogram.num_nan,
    }


def _json_float(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _rewrite(name: str, make: Callable[[Vector], Vector]) -> None:
    vectors = json.loads((DIRECTORY / name).read_text(encoding="utf-8"))["vectors"]
    lines = ",\n".join(json.dumps(make(vector), ensure_ascii=False) for vector in vectors)
    text = f'{{"tfdv_version": "{tfdv.__version__}", "vectors": [\n{lines}\n]}}\n'
    (DIRECTORY / name).write_text(text, encoding="utf-8")


def categorical_vector(rows: Vector) -> Vector:
    """Add counts, distance and the value that TFDV names."""
    found = {side: statistics_of(rows[f"{side}_rows"], pa.string()) for side in SIDES}
    distance, description = reported_drift(*found.values(), "infinity_norm")
    value = re.search(r"maximum difference is: (.*)$", description, re.DOTALL)
    vector = {"name": rows["name"], "distance": distance, "value": value and value.group(1)}
    for side, statistics in found.items():
        counted = statistics.datasets[0].features[0].string_stats.rank_histogram.buckets
        vector[f"{side}_rows"] = rows[f"{side}_rows"]
        vector[f"{side}_counts"] = {bucket.label: bucket.sample_count for bucket in counted}
    return vector


def numerical_vector(rows: Vector) -> Vector:
    """Add histograms and distance."""
    vector = {"name": rows["name"], "distance": 0.0, **rows}
    found = []
    for side in SIDES:
        cells = [None if row is None else float(row) for row in rows[f"{side}_rows"]]
        found.append(statistics_of(cells, pa.float64()))
        vector[f"{side}_histogram"] = standard_histogram(found[-1])
    vector["distance"], _ = reported_drift(*found, "jensen_shannon_divergence")
    return vector


if __name__ == "__main__":
    _rewrite("tfdv_l_infinity.json", categorical_vector)
    _rewrite("tfdv_jensen_shannon_divergence.json", numerical_vector)
