"""Peer: TensorFlow Data Validation, whose distances this project computes."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path

import pandas as pd
import tensorflow_data_validation as tfdv  # ty: ignore[import-not-found]
from tensorflow_metadata.proto.v0 import statistics_pb2  # ty: ignore[import-not-found]

from benchmarks.contenders.measurement import (
    CATEGORICAL,
    FEATURES,
    NUMERICAL,
    run_contender,
)


def compare(baseline: Path, target: Path) -> dict[str, float]:
    """Compare two Parquet files."""
    before, after = statistics(baseline), statistics(target)
    schema = tfdv.infer_schema(before)
    for name in CATEGORICAL:
        tfdv.get_feature(schema, name).drift_comparator.infinity_norm.threshold = 0.3
    for name in NUMERICAL:
        comparator = tfdv.get_feature(schema, name).drift_comparator
        comparator.jensen_shannon_divergence.threshold = 0.3
    anomalies = tfdv.validate_statistics(after, schema, previous_statistics=before)
    return {
        info.path.step[0]: info.drift_measurements[0].value for info in anomalies.drift_skew_info
    }


def statistics(file: Path) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Compute TFDV's statistics of a Parquet file."""
    frame = pd.read_parquet(file, columns=list(FEATURES))
    return tfdv.generate_statistics_from_dataframe(frame, n_jobs=os.cpu_count() or 1)


if __name__ == "__main__":
    run_contender(compare)
