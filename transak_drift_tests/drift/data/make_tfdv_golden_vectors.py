"""Write the golden vectors that the drift statistics are tested against.

Run it with TensorFlow Data Validation 1.16.1 (Python 3.11), in an environment of its own, since
its dependencies are older than the project's:

    uv venv --python 3.11 tfdv && uv pip install --python tfdv/bin/python \
        tensorflow-data-validation==1.16.1 dill "setuptools<80"
    tfdv/bin/python transak_drift_tests/drift/data/make_tfdv_golden_vectors.py

Each vector holds the rows of two datasets (null, or "nan", "inf", "-inf" for the floats that JSON
lacks), TFDV's own statistics of them, and the distance that `validate_statistics` reports with the
drift comparators `infinity_norm` and `jensen_shannon_divergence`.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

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


def categorical_vectors() -> dict[str, tuple[list[str | None], list[str | None]]]:
    """Return the rows of baseline and target by name of the vector."""
    generator = random.Random(20260101)
    merchants = [f"merchant {index}" for index in range(400)]
    weights = [1 / (index + 1) for index in range(400)]

    def draw(count: int, values: Sequence[str]) -> list[str | None]:
        return [*generator.choices(values, weights[: len(values)], k=count)]

    return {
        "identical": (["a", "b", "b"], ["a", "b", "b"]),
        "one value moves": (["a"] * 6 + ["b"] * 4, ["a"] * 3 + ["b"] * 7),
        "nulls do not count": (["a", None, "b", None, None, "b"], ["a", "a", "b", None]),
        "unseen on both sides": (["a", "b", "c"], ["c", "d", "e", "e"]),
        "disjoint": (["a", "b"], ["c"]),
        "several maxima": (["a", "b", "c", "d"], ["b", "b", "d", "d"]),
        "unicode": (
            ["Zürich", "Genève", "Zürich", "東京", "😀"],
            ["Zürich", "Genève", "Genève", "😀", "😀", "\uffff"],
        ),
        "quotes and spaces": (['a "b"', " a", "a ", "a,b", "a\tb"], ['a "b"', " a", " a", "a;b"]),
        "numbers as text": (["001", "1", "1.0", "1"], ["1", "1", "001"]),
        "different sizes": (draw(50, ["a", "b", "c"]), draw(700, ["a", "b", "c"])),
        "long tail": (draw(900, merchants), draw(700, merchants[40:])),
    }


def numerical_vectors() -> dict[str, tuple[list[float | None], list[float | None]]]:
    """Return the rows of baseline and target by name of the vector."""
    generator = random.Random(20260102)
    nan, inf = math.nan, math.inf

    def normal(count: int, mean: float, deviation: float) -> list[float | None]:
        return [round(generator.gauss(mean, deviation), 4) for _ in range(count)]

    def amounts(count: int, scale: float) -> list[float | None]:
        return [round(-generator.expovariate(1 / scale), 2) for _ in range(count)]

    grid: list[float | None] = [float(value) for value in range(11)]
    return {
        "identical": (grid * 5, grid * 5),
        "same range, other shares": ([0.0] * 8 + [10.0] * 2, [0.0] * 3 + [10.0] * 7),
        "values on every edge": (grid * 9, [*grid, 0.0, 0.0, 5.0, 10.0, 10.0]),
        "shifted": (normal(300, 0, 1), normal(250, 1.5, 1)),
        "wider": (normal(300, 100, 5), normal(300, 100, 20)),
        "amounts in francs": (amounts(400, 80), amounts(300, 200)),
        "overlapping ranges": (normal(200, -3, 2), normal(200, 3, 2)),
        "disjoint ranges": (normal(100, -50, 1), normal(100, 50, 1)),
        "touching ranges": (grid * 3, [value + 10 for value in grid if value is not None]),
        "the same constant": ([7.5] * 20, [7.5] * 3),
        "two constants": ([7.5] * 20, [-7.5] * 20),
        "a constant in a range": ([5.0] * 20, grid * 2),
        "a constant at an edge": (grid * 2, [10.0] * 9),
        "nulls do not count": ([*grid, *[None] * 30], [*grid, *grid, None]),
        "nan in the baseline": ([*grid, nan, nan], grid),
        "nan on both sides": ([*grid, nan], [*grid, *[nan] * 4]),
        "nan, other ranges": ([*normal(150, 0, 3), nan], [*normal(100, 1, 3), nan, nan]),
        "inf in the target": (grid, [*grid, inf, inf, inf]),
        "-inf on both sides": ([*grid, -inf], [*grid, -inf, -inf]),
        "all of them": (
            [*normal(150, 0, 3), nan, inf, -inf, None],
            [*normal(100, 1, 3), nan, nan, inf, None, None],
        ),
        "tiny range": ([1.0 + index * 1e-12 for index in range(40)], [1.0, 1.0 + 2e-11]),
        "large numbers": (
            [index * 1e15 for index in range(40)],
            [index * 2e15 for index in range(40)],
        ),
    }


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


def _write(name: str, vectors: Sequence[Mapping[str, object]]) -> None:
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    text = f'{{"tfdv_version": "{tfdv.__version__}", "vectors": [\n{lines}\n]}}\n'
    (DIRECTORY / name).write_text(text, encoding="utf-8")


def main() -> None:
    """Write both files."""
    categorical = []
    for name, sides in categorical_vectors().items():
        found = [statistics_of(rows, pa.string()) for rows in sides]
        distance, description = reported_drift(*found, "infinity_norm")
        value = re.search(r"maximum difference is: (.*)$", description, re.DOTALL)
        vector = {"name": name, "distance": distance, "value": value.group(1) if value else None}
        for side, rows, statistics in zip(SIDES, sides, found, strict=True):
            counted = statistics.datasets[0].features[0].string_stats.rank_histogram.buckets
            vector[f"{side}_rows"] = rows
            vector[f"{side}_counts"] = {bucket.label: bucket.sample_count for bucket in counted}
        categorical.append(vector)
    _write("tfdv_l_infinity.json", categorical)
    numerical = []
    for name, sides in numerical_vectors().items():
        found = [statistics_of(rows, pa.float64()) for rows in sides]
        distance, _ = reported_drift(*found, "jensen_shannon_divergence")
        vector = {"name": name, "distance": distance}
        for side, rows, statistics in zip(SIDES, sides, found, strict=True):
            vector[f"{side}_rows"] = [_json_float(row) for row in rows]
            vector[f"{side}_histogram"] = standard_histogram(statistics)
        numerical.append(vector)
    _write("tfdv_jensen_shannon_divergence.json", numerical)


if __name__ == "__main__":
    main()
