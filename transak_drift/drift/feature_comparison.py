"""The verdict on each monitored feature: its distance against its threshold."""

from __future__ import annotations

from collections.abc import Mapping

from transak_drift.drift.drift_statistics import (
    DistanceMetric,
    EmptyFeatureError,
    feature_distance,
)
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
)
from transak_drift.drift.monitoring_result import NO_BOOKINGS, FeatureDrift


def compare_features(
    baseline: DatasetStatistics, target: DatasetStatistics, thresholds: Mapping[str, float]
) -> tuple[FeatureDrift, ...]:
    """Compare two datasets feature by feature.

    Args:
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset.
        thresholds: greatest allowed distance by feature.

    Returns:
        One entry for each threshold, in its order. A feature without a present value on one side
        has no distance, and a note that says so; of a target without rows it is `NO_BOOKINGS`.

    Raises:
        FeatureMismatchError: a feature is missing from one side, or measured in two ways.
    """
    return tuple(
        _compare(feature, threshold, baseline, target) for feature, threshold in thresholds.items()
    )


def _compare(
    feature: str, threshold: float, baseline: DatasetStatistics, target: DatasetStatistics
) -> FeatureDrift:
    try:
        found = feature_distance(feature, baseline, target)
    except EmptyFeatureError as error:
        categorical = isinstance(baseline.features[feature], CategoricalStatistics)
        metric = (
            DistanceMetric.L_INFINITY if categorical else DistanceMetric.JENSEN_SHANNON_DIVERGENCE
        )
        note = NO_BOOKINGS if target.rows == 0 else str(error)
        return FeatureDrift(
            feature=feature, metric=metric, distance=None, threshold=threshold, note=note
        )
    return FeatureDrift(
        feature=feature,
        metric=found.metric,
        distance=found.distance,
        threshold=threshold,
        contributors=found.contributors,
    )
