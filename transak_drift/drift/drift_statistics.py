"""Drift between two datasets: the distance of each feature and the values that make it up.

Source of the definitions: TensorFlow Data Validation, `anomalies/metrics.cc`, which Vertex AI
Model Monitoring uses: the L-infinity distance of categorical features and the Jensen-Shannon
divergence of numerical ones. TensorFlow Data Validation keeps the 1000 most frequent values of a
categorical feature by default; here every value counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import repeat
from operator import sub

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import Shares, bucket_shares, jensen_shannon_divergence
from transak_drift.drift.monitoring_result import NO_BOOKINGS, Contributor, FeatureDrift

MAX_CONTRIBUTORS = 10

_METRICS = {
    FeatureKind.CATEGORICAL: "l_infinity",
    FeatureKind.NUMERICAL: "jensen_shannon_divergence",
}


class DriftStatisticsError(ValueError):
    """Two datasets' statistics of a feature that cannot be compared."""


def compare_features(
    baseline: DatasetStatistics, target: DatasetStatistics, thresholds: Mapping[str, float]
) -> tuple[FeatureDrift, ...]:
    """Compare two datasets feature by feature.

    The L-infinity distance of a categorical feature is the maximum over the values v of either
    dataset of |p(v) - q(v)|, where p and q are the shares of v among the present values of the
    baseline and of the target. Nulls count nowhere; a value that one dataset has never seen has the
    share 0 there. The distance of a numerical feature is `jensen_shannon_divergence`.

    Args:
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset.
        thresholds: greatest allowed distance by feature.

    Returns:
        One entry for each threshold, in its order. A feature without a present value on one side
        has no distance, and a note that says so; of a target without rows it is `NO_BOOKINGS`.

    Raises:
        DriftStatisticsError: a feature is missing from one side, or measured in two ways.
    """
    return tuple(
        _compare(feature, threshold, baseline, target) for feature, threshold in thresholds.items()
    )


def _compare(
    feature: str, threshold: float, baseline: DatasetStatistics, target: DatasetStatistics
) -> FeatureDrift:
    before = _statistics_of(baseline, feature, "baseline")
    after = _statistics_of(target, feature, "target")
    metric = _METRICS[before.kind]
    # An empty column tells no type, so that emptiness comes before a mismatch of kinds.
    for role, side in (("baseline", before), ("target", after)):
        if not side.present:
            rows = (
                f"all {side.missing} rows are null" if side.missing else "the dataset has no rows"
            )
            note = (
                f"feature {feature!r} has no value in the {role} dataset ({rows}): "
                "choose a dataset in which it has values"
            )
            if target.rows == 0:
                note = NO_BOOKINGS
            return FeatureDrift(
                feature=feature, metric=metric, distance=None, threshold=threshold, note=note
            )
    if before.kind != after.kind:
        raise DriftStatisticsError(
            f"feature {feature!r} is {before.kind} in the baseline and {after.kind} in the "
            "target dataset: declare its type in feature_types (categorical or numerical)"
        )
    shares = _shares(before, after, MAX_CONTRIBUTORS)
    contributors = _greatest_changes(shares, MAX_CONTRIBUTORS)
    if before.kind == FeatureKind.NUMERICAL:
        distance = jensen_shannon_divergence(shares)
    else:
        distance = abs(contributors[0].change) if contributors else 0.0
    return FeatureDrift(
        feature=feature,
        metric=metric,
        distance=distance,
        threshold=threshold,
        contributors=contributors,
    )


def top_contributors(
    baseline: FeatureStatistics, target: FeatureStatistics, limit: int = MAX_CONTRIBUTORS
) -> tuple[Contributor, ...]:
    """Return what changed its share most: values, or the aligned buckets of a numerical feature.

    The greatest change comes first, then by value. What did not change is left out, and so is
    everything where the sides are of two kinds or one has no present value.
    """
    if baseline.kind != target.kind or not (baseline.present and target.present):
        return ()
    return _greatest_changes(_shares(baseline, target, limit), limit)


def _greatest_changes(shares: Iterable[Shares], limit: int) -> tuple[Contributor, ...]:
    # Values and labels are unique, so that the shares themselves are never compared.
    changes = [(-abs(after - before), value, before, after) for value, before, after in shares]
    return tuple(
        Contributor(value=value, baseline_share=before, target_share=after)
        for change, value, before, after in heapq.nsmallest(limit, changes)
        if change
    )


def _shares(baseline: FeatureStatistics, target: FeatureStatistics, limit: int) -> list[Shares]:
    """Return the shares of all buckets, or of the values among which are the greatest changes."""
    if isinstance(baseline, NumericalStatistics) and isinstance(target, NumericalStatistics):
        return bucket_shares(baseline, target)
    assert isinstance(baseline, CategoricalStatistics)
    assert isinstance(target, CategoricalStatistics)
    baseline_total, target_total = baseline.present, target.present
    before, after = baseline.counts, target.counts
    baseline_shares = [count / baseline_total for count in before.values()]
    target_shares = [count / target_total for count in map(after.get, before, repeat(0))]
    changes = list(map(abs, map(sub, target_shares, baseline_shares)))
    least = heapq.nlargest(limit, changes)[-1] if limit < len(changes) else 0.0
    shares: list[Shares] = [
        (value, baseline_share, target_share)
        for value, baseline_share, target_share, change in zip(
            before, baseline_shares, target_shares, changes, strict=True
        )
        if change >= least and change > 0
    ]
    # The baseline is looked up only for the few that could be among the greatest.
    shares += [
        (value, 0.0, count / target_total)
        for value, count in after.items()
        if count / target_total >= least and value not in before
    ]
    return shares


def _statistics_of(dataset: DatasetStatistics, feature: str, role: str) -> FeatureStatistics:
    if feature not in dataset.features:
        known = ", ".join(repr(name) for name in sorted(dataset.features)) or "none"
        raise DriftStatisticsError(
            f"the {role} dataset has no statistics of feature {feature!r} (it has {known}): "
            "scan it again with that feature"
        )
    return dataset.features[feature]
