"""Drift between two datasets: the distance of each feature and the values that make it up.

Source of the definitions: TensorFlow Data Validation, `anomalies/metrics.cc`, which Vertex AI
Model Monitoring uses: the L-infinity distance of categorical features and the Jensen-Shannon
divergence of numerical ones. TensorFlow Data Validation keeps the 1000 most frequent values of a
categorical feature by default; here every value counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from operator import sub

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import align_histograms, histogram_divergence
from transak_drift.drift.monitoring_result import NO_BOOKINGS, Contributor, FeatureDrift

MAX_CONTRIBUTORS = 10

# A value (or bucket) with its share of the baseline and of the target.
_Shares = tuple[str, float, float]


class DistanceMetric(StrEnum):
    """How the distance of a feature is measured."""

    L_INFINITY = "l_infinity"
    JENSEN_SHANNON_DIVERGENCE = "jensen_shannon_divergence"


class DriftStatisticsError(ValueError):
    """Two datasets' statistics of a feature that cannot be compared."""


class EmptyFeatureError(DriftStatisticsError):
    """A feature without any present value on one side, so that it has no distribution."""

    def __init__(self, feature: str, dataset: str, missing: int) -> None:
        rows = f"all {missing} rows are null" if missing else "the dataset has no rows"
        super().__init__(
            f"feature {feature!r} has no value in the {dataset} dataset ({rows}): "
            "choose a dataset in which it has values"
        )


class FeatureMismatchError(DriftStatisticsError):
    """A feature that is measured in two ways, or that one side has no statistics of."""


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    """The distance of one feature, in [0, 1], and what changed its share most."""

    metric: DistanceMetric
    distance: float
    contributors: tuple[Contributor, ...]


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
        return FeatureDrift(
            feature=feature,
            metric=_metric_of(baseline.features[feature]),
            distance=None,
            threshold=threshold,
            note=NO_BOOKINGS if target.rows == 0 else str(error),
        )
    return FeatureDrift(
        feature=feature,
        metric=found.metric,
        distance=found.distance,
        threshold=threshold,
        contributors=found.contributors,
    )


def feature_distance(
    feature: str, baseline: DatasetStatistics, target: DatasetStatistics
) -> FeatureDistance:
    """Return the distance of one feature by the metric of its kind.

    The L-infinity distance of a categorical feature is the maximum over the values v of either
    dataset of |p(v) - q(v)|, where p and q are the shares of v among the present values of the
    baseline and of the target. Nulls count nowhere; a value that one dataset has never seen has the
    share 0 there. The distance of a numerical feature is `histogram_divergence` over the STANDARD
    histograms.

    Args:
        feature: its name.
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset.

    Raises:
        EmptyFeatureError: one of the datasets has no present value of the feature.
        FeatureMismatchError: one of the datasets has no statistics of the feature, or it is
            categorical in one and numerical in the other.
    """
    before = _feature_of(baseline, feature, "baseline")
    after = _feature_of(target, feature, "target")
    contributors = top_contributors(before, after, feature=feature)
    metric = _metric_of(before)
    if isinstance(before, NumericalStatistics) and isinstance(after, NumericalStatistics):
        distance = histogram_divergence(before.histogram, after.histogram)
    else:
        distance = abs(contributors[0].change) if contributors else 0.0
    return FeatureDistance(metric, distance, contributors)


def top_contributors(
    baseline: FeatureStatistics,
    target: FeatureStatistics,
    limit: int = MAX_CONTRIBUTORS,
    *,
    feature: str = "",
) -> tuple[Contributor, ...]:
    """Return what changed its share most between two datasets.

    Args:
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset, of the same kind.
        limit: how many at most, at least one.
        feature: its name, for the error.

    Returns:
        Values of a categorical feature, or aligned buckets of a numerical one, by the absolute
        change of their share (greatest first), then by value. Those that did not change are left
        out.

    Raises:
        EmptyFeatureError: one of the datasets has no present value.
        FeatureMismatchError: one side is categorical, the other numerical.
    """
    # An empty column tells no type, so that emptiness is the cause of a mismatch of kinds.
    for name, side in (("baseline", baseline), ("target", target)):
        if not side.present:
            raise EmptyFeatureError(feature, name, side.missing)
    match baseline, target:
        case CategoricalStatistics(), CategoricalStatistics():
            shares = _value_shares(baseline, target, limit)
        case NumericalStatistics(), NumericalStatistics():
            shares = _bucket_shares(baseline, target)
        case _:
            raise FeatureMismatchError(
                f"feature {feature!r} is {baseline.kind} in the baseline and {target.kind} in the "
                "target dataset: declare its type in feature_types (categorical or numerical)"
            )
    # Values and labels are unique, so that the shares themselves are never compared.
    greatest = heapq.nsmallest(
        limit,
        [
            (-abs(target_share - baseline_share), value, baseline_share, target_share)
            for value, baseline_share, target_share in shares
            if baseline_share != target_share
        ],
    )
    return tuple(
        Contributor(value=value, baseline_share=baseline_share, target_share=target_share)
        for _, value, baseline_share, target_share in greatest
    )


def _value_shares(
    baseline: CategoricalStatistics, target: CategoricalStatistics, limit: int
) -> list[_Shares]:
    """Return values and their shares, among them the `limit` whose shares changed most.

    A value whose share did not change is left out.
    """
    baseline_total, target_total = baseline.present, target.present
    before, after = baseline.counts, target.counts
    baseline_shares = [count / baseline_total for count in before.values()]
    target_shares = [count / target_total for count in map(after.get, before, repeat(0))]
    changes = list(map(abs, map(sub, target_shares, baseline_shares)))
    least = heapq.nlargest(limit, changes)[-1] if limit < len(changes) else 0.0
    shares: list[_Shares] = [
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


def _bucket_shares(baseline: NumericalStatistics, target: NumericalStatistics) -> list[_Shares]:
    baseline_total, target_total = baseline.present, target.present
    return [
        (bucket.label, bucket.baseline / baseline_total, bucket.target / target_total)
        for bucket in align_histograms(baseline.histogram, target.histogram)
    ]


def _metric_of(feature: FeatureStatistics) -> DistanceMetric:
    if isinstance(feature, CategoricalStatistics):
        return DistanceMetric.L_INFINITY
    return DistanceMetric.JENSEN_SHANNON_DIVERGENCE


def _feature_of(dataset: DatasetStatistics, feature: str, role: str) -> FeatureStatistics:
    if feature not in dataset.features:
        known = ", ".join(repr(name) for name in sorted(dataset.features)) or "none"
        raise FeatureMismatchError(
            f"the {role} dataset has no statistics of feature {feature!r} (it has {known}): "
            "scan it again with that feature"
        )
    return dataset.features[feature]
