"""Statistics of small datasets, and the distance between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transak_drift.config.monitoring_config import CategoricalMetric
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
)
from transak_drift.drift.monitoring_result import FeatureDrift


def categorical(rows: Sequence[str | None]) -> CategoricalStatistics:
    counts = Counter(row for row in rows if row is not None)
    return CategoricalStatistics(counts, len(rows) - counts.total())


def compare(
    baseline: FeatureStatistics,
    target: FeatureStatistics,
    categorical_metric: CategoricalMetric = "l_infinity",
) -> FeatureDrift:
    """Compare two datasets of one feature, `type`."""
    datasets = [
        DatasetStatistics(int(side.present) + side.missing, {"type": side})
        for side in (baseline, target)
    ]
    [found] = compare_features(*datasets, {"type": 0.3}, categorical_metric=categorical_metric)
    return found


def distance(baseline: FeatureStatistics, target: FeatureStatistics) -> float:
    found = compare(baseline, target).distance
    assert found is not None
    return found
