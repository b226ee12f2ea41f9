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
from transak_drift.drift.monitoring_result import (
    NO_BASELINE,
    NO_BOOKINGS,
    Contributor,
    FeatureDrift,
)

MAX_CONTRIBUTORS = 10

_METRICS = {
    FeatureKind.CATEGORICAL: "l_infinity",
    FeatureKind.NUMERICAL: "jensen_shannon_divergence",
}


def compare_features(
    baseline: DatasetStatistics, target: DatasetStatistics, thresholds: Mapping[str, float]
) -> tuple[FeatureDrift, ...]:
    """Compare two datasets feature by feature, each measured in the same way on both sides.

    The L-infinity distance of a categorical feature is the maximum over the values v of either
    dataset of |p(v) - q(v)|, where p and q are the shares of v among the present values of the
    baseline and of the target. Nulls count nowhere; a value that one dataset has never seen has the
    share 0 there. The distance of a numerical feature is `jensen_shannon_divergence`.

    Returned is one entry for each threshold, in its order. A feature without a present value on one
    side has no distance, and a note that says so.
    """
    return tuple(
        _compare(feature, threshold, baseline, target) for feature, threshold in thresholds.items()
    )


def _compare(
    feature: str, threshold: float, baseline: DatasetStatistics, target: DatasetStatistics
) -> FeatureDrift:
    before, after = baseline.features[feature], target.features[feature]
    note, distance, contributors = "", None, ()
    if not target.rows:
        note = NO_BOOKINGS
    elif not before.present:
        note = (
            f"{NO_BASELINE}: column {feature!r} is empty in all {before.missing} rows of the "
            "baseline, so that no day can be compared; fill it there, or take the feature out of "
            "drift_thresholds"
        )
    elif not after.present:
        note = f"no value in the target dataset: column {feature!r} is empty in all its rows"
    else:
        shares = _shares(before, after, MAX_CONTRIBUTORS)
        contributors = _greatest_changes(shares, MAX_CONTRIBUTORS)
        if before.kind == FeatureKind.NUMERICAL:
            distance = jensen_shannon_divergence(shares)
        else:
            distance = abs(contributors[0].change) if contributors else 0.0
    return FeatureDrift(
        feature=feature,
        metric=_METRICS[before.kind],
        distance=distance,
        threshold=threshold,
        contributors=contributors,
        note=note,
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
