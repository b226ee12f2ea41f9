"""Drift between two datasets: the distance of each feature and the values that make it up.

Source of the definitions: TensorFlow Data Validation, `anomalies/metrics.cc`, which Vertex AI
Model Monitoring uses: the L-infinity distance of categorical features and the Jensen-Shannon
divergence of numerical ones. TensorFlow Data Validation keeps the 1000 most frequent values of a
categorical feature by default; here every value counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import repeat
from operator import sub
from typing import Literal

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import align_histograms, histogram_divergence
from transak_drift.drift.monitoring_result import Contributor

DEFAULT_CONTRIBUTORS = 10

DatasetRole = Literal["baseline", "target"]

# A value (or bucket) with its share of the baseline and of the target.
_Shares = tuple[str, float, float]


class DistanceMetric(StrEnum):
    """How the distance of a feature is measured."""

    L_INFINITY = "l_infinity"
    JENSEN_SHANNON_DIVERGENCE = "jensen_shannon_divergence"


class DriftStatisticsError(ValueError):
    """Two datasets' statistics of a feature that cannot be compared."""


class EmptyFeatureError(DriftStatisticsError):
    """A feature without any present value on one side, so that it has no distribution.

    Args:
        feature: its name, or an empty string where the caller knows it.
        dataset: the side that is empty.
        missing: rows of that dataset, all of them null.
    """

    def __init__(self, feature: str, dataset: DatasetRole, missing: int) -> None:
        self.feature = feature
        self.dataset = dataset
        self.missing = missing
        name = f"feature {feature!r}" if feature else "the feature"
        rows = f"all {missing} rows are null" if missing else "the dataset has no rows"
        super().__init__(
            f"{name} has no value in the {dataset} dataset ({rows}): "
            "choose a dataset in which it has values"
        )


class FeatureMismatchError(DriftStatisticsError):
    """A feature that is measured in two ways, or that one side has no statistics of."""


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    """The distance of one feature between two datasets.

    Args:
        feature: its name.
        metric: how the distance is measured.
        distance: the distance, in [0, 1].
        contributors: the values (categorical) or aligned buckets (numerical) whose share changed
            most, greatest change first.
    """

    feature: str
    metric: DistanceMetric
    distance: float
    contributors: tuple[Contributor, ...]


def l_infinity_distance(
    baseline: CategoricalStatistics, target: CategoricalStatistics, *, feature: str = ""
) -> float:
    """Return the L-infinity distance of a categorical feature.

    d = max over the values v of either dataset of |p(v) - q(v)|, where p and q are the shares of v
    among the present values of the baseline and of the target. Nulls count nowhere; a value that
    one dataset has never seen has the share 0 there.

    Args:
        baseline: counts of the baseline dataset.
        target: counts of the target dataset.
        feature: its name, for the error.

    Returns:
        The distance, in [0, 1].
        Source: LInftyDistance in TensorFlow Data Validation, `anomalies/metrics.cc`.

    Raises:
        EmptyFeatureError: one of the datasets has no present value.
    """
    return _greatest_change(top_contributors(baseline, target, 1, feature=feature))


def jensen_shannon_divergence(
    baseline: NumericalStatistics, target: NumericalStatistics, *, feature: str = ""
) -> float:
    """Return the Jensen-Shannon divergence of a numerical feature.

    Args:
        baseline: distribution of the baseline dataset.
        target: distribution of the target dataset.
        feature: its name, for the error.

    Returns:
        The divergence (not its square root) in bits, in [0, 1], over the STANDARD histograms; see
        `transak_drift.drift.histogram.histogram_divergence`.

    Raises:
        EmptyFeatureError: one of the datasets has no present value.
    """
    _require_present(baseline, target, feature)
    return histogram_divergence(baseline.histogram, target.histogram)


def top_contributors(
    baseline: FeatureStatistics,
    target: FeatureStatistics,
    limit: int = DEFAULT_CONTRIBUTORS,
    *,
    feature: str = "",
) -> tuple[Contributor, ...]:
    """Return what changed its share most between two datasets.

    Args:
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset, of the same kind.
        limit: how many at most, >= 0.
        feature: its name, for the error.

    Returns:
        Values of a categorical feature, or aligned buckets of a numerical one, by the absolute
        change of their share (greatest first), then by value. Those that did not change are left
        out.

    Raises:
        EmptyFeatureError: one of the datasets has no present value.
        FeatureMismatchError: one side is categorical, the other numerical.
        ValueError: the limit is negative.
    """
    if limit < 0:
        raise ValueError(f"limit = {limit}: give 0 or more")
    match baseline, target:
        case CategoricalStatistics(), CategoricalStatistics():
            shares = _value_shares(baseline, target, feature, limit)
        case NumericalStatistics(), NumericalStatistics():
            shares = _bucket_shares(baseline, target, feature)
        case _:
            raise _kinds_differ(baseline, target, feature)
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


def feature_distance(
    feature: str,
    baseline: DatasetStatistics,
    target: DatasetStatistics,
    *,
    contributors: int = DEFAULT_CONTRIBUTORS,
) -> FeatureDistance:
    """Return the distance of one feature by the metric of its kind.

    Args:
        feature: its name.
        baseline: statistics of the baseline dataset.
        target: statistics of the target dataset.
        contributors: how many contributors to give at most.

    Returns:
        The L-infinity distance of a categorical, the Jensen-Shannon divergence of a numerical
        feature.

    Raises:
        EmptyFeatureError: one of the datasets has no present value of the feature.
        FeatureMismatchError: one of the datasets has no statistics of the feature, or it is
            categorical in one and numerical in the other.
        ValueError: `contributors` is negative.
    """
    if contributors < 0:
        raise ValueError(f"contributors = {contributors}: give 0 or more")
    baseline_feature = _feature_of(baseline, feature, "baseline")
    target_feature = _feature_of(target, feature, "target")
    # An empty column tells no type, so that emptiness is the cause of a mismatch of kinds.
    _require_present(baseline_feature, target_feature, feature)
    greatest = top_contributors(
        baseline_feature, target_feature, max(contributors, 1), feature=feature
    )
    match baseline_feature, target_feature:
        case CategoricalStatistics(), CategoricalStatistics():
            metric = DistanceMetric.L_INFINITY
            distance = _greatest_change(greatest)
        case NumericalStatistics(), NumericalStatistics():
            metric = DistanceMetric.JENSEN_SHANNON_DIVERGENCE
            distance = jensen_shannon_divergence(baseline_feature, target_feature, feature=feature)
        case _:
            raise _kinds_differ(baseline_feature, target_feature, feature)
    return FeatureDistance(feature, metric, distance, greatest[:contributors])


def _greatest_change(contributors: Sequence[Contributor]) -> float:
    return abs(contributors[0].change) if contributors else 0.0


def _value_shares(
    baseline: CategoricalStatistics, target: CategoricalStatistics, feature: str, limit: int
) -> list[_Shares]:
    """Return values and their shares, among them the `limit` whose shares changed most.

    A value whose share did not change is left out.
    """
    baseline_total, target_total = _require_present(baseline, target, feature)
    before, after = baseline.counts, target.counts
    baseline_shares = [count / baseline_total for count in before.values()]
    target_shares = [count / target_total for count in map(after.get, before, repeat(0))]
    changes = list(map(abs, map(sub, target_shares, baseline_shares)))
    least = 0.0
    if 0 < limit < len(changes):
        least = heapq.nlargest(limit, changes)[-1]
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


def _bucket_shares(
    baseline: NumericalStatistics, target: NumericalStatistics, feature: str
) -> list[_Shares]:
    baseline_total, target_total = _require_present(baseline, target, feature)
    return [
        (bucket.label, bucket.baseline / baseline_total, bucket.target / target_total)
        for bucket in align_histograms(baseline.histogram, target.histogram)
    ]


def _require_present(
    baseline: FeatureStatistics, target: FeatureStatistics, feature: str
) -> tuple[float, float]:
    """Return the present values of both sides, neither of them 0."""
    baseline_total, target_total = baseline.present, target.present
    if not baseline_total:
        raise EmptyFeatureError(feature, "baseline", baseline.missing)
    if not target_total:
        raise EmptyFeatureError(feature, "target", target.missing)
    return baseline_total, target_total


def _feature_of(dataset: DatasetStatistics, feature: str, role: DatasetRole) -> FeatureStatistics:
    try:
        return dataset.features[feature]
    except KeyError:
        known = ", ".join(repr(name) for name in sorted(dataset.features)) or "none"
        raise FeatureMismatchError(
            f"the {role} dataset has no statistics of feature {feature!r} (it has {known}): "
            "scan it again with that feature"
        ) from None


def _kinds_differ(
    baseline: FeatureStatistics, target: FeatureStatistics, feature: str
) -> FeatureMismatchError:
    return FeatureMismatchError(
        f"feature {feature!r} is {baseline.kind} in the baseline and {target.kind} in the target "
        f"dataset: declare its type in feature_types (categorical or numerical)"
    )
