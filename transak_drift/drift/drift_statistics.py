"""Drift between two datasets: the distance of each feature and the values that make it up.

Source of the definitions: TensorFlow Data Validation, which Vertex AI Model Monitoring uses:
`anomalies/metrics.cc` (LInfinityDistance and JensenShannonDivergence of categorical features;
JensenShannonDivergence and AlignHistograms of numerical ones) and `utils/quantiles_util.py` (the
STANDARD histogram). It keeps the 1000 most frequent values of a categorical feature by default;
here every value counts.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise, repeat

from transak_drift.config.monitoring_config import CategoricalMetric
from transak_drift.config.sections import PredictionDrift
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import (
    NO_BASELINE,
    NO_BOOKINGS,
    NO_MODEL,
    Contributor,
    FeatureDrift,
)

MAX_CONTRIBUTORS = 10
_ROUNDING = 1e-9

# A value (or bucket) with its share of the baseline and of the target.
Shares = tuple[str, float, float]


def compare_features(
    baseline: DatasetStatistics,
    target: DatasetStatistics,
    thresholds: Mapping[str, float],
    *,
    categorical_metric: CategoricalMetric = "l_infinity",
    known_rows: dict[str, int] | None = None,
) -> tuple[FeatureDrift, ...]:
    """Compare two datasets feature by feature, each measured in the same way on both sides.

    The L-infinity distance of a categorical feature is the maximum over the values v of either
    dataset of |p(v) - q(v)|, where p and q are the shares of v among the present values of the
    baseline and of the target. Nulls count nowhere; a value that one dataset has never seen has the
    share 0 there. The distance of a numerical feature is `jensen_shannon_divergence`; by that
    metric the distance of a categorical one is that of the same shares p and q.

    The thresholds are the greatest allowed distances, of features that both sides have. Returned is
    one entry for each, in their order. A feature without a present value on one side has no
    distance, and a note with the reason: `NO_BOOKINGS` of a target without rows, one that begins
    with `NO_BASELINE` of an empty baseline.

    To `known_rows` is added, by categorical feature, how many rows of the target have a value that
    the baseline has: what `measure_quality` would look up again.
    """
    return tuple(
        _compare(feature, threshold, baseline, target, categorical_metric, known_rows)
        for feature, threshold in thresholds.items()
    )


def compare_predictions(
    baseline: DatasetStatistics | None,
    target: DatasetStatistics,
    prediction: PredictionDrift,
    metric: CategoricalMetric,
) -> FeatureDrift:
    """Compare what a model predicts for a dataset with what it predicts for its baseline.

    The baseline's predictions are None where there is no model, and the target has the column only
    where one has predicted it: without either there is no distance, and the note says why.
    """
    column, threshold = prediction.column, prediction.threshold
    if baseline is not None and column in target.features:
        thresholds = {column: threshold}
        [found] = compare_features(baseline, target, thresholds, categorical_metric=metric)
        return found.model_copy(update={"objective": "prediction"})
    note = f"{NO_MODEL}, so that there are no predictions to compare"
    if not target.rows:
        note = NO_BOOKINGS
    elif baseline is not None:
        note = f"no column {column!r} in the predictions: materialize predictions again"
    return FeatureDrift(
        feature=column,
        metric=metric,
        distance=None,
        threshold=threshold,
        note=note,
        objective="prediction",
    )


def _compare(
    feature: str,
    threshold: float,
    baseline: DatasetStatistics,
    target: DatasetStatistics,
    categorical_metric: CategoricalMetric,
    known_rows: dict[str, int] | None,
) -> FeatureDrift:
    before, after = baseline.features[feature], target.features[feature]
    is_categorical = before.kind == FeatureKind.CATEGORICAL
    metric = categorical_metric if is_categorical else "jensen_shannon_divergence"
    note, distance, by_chance, contributors = "", None, None, ()
    if not target.rows:
        note = NO_BOOKINGS
    elif not before.present:
        note = (
            f"{NO_BASELINE}: column {feature!r} is empty in all {before.missing} rows of the "
            "baseline, so that no window can be compared; fill it there, or take the feature "
            "out of drift_thresholds"
        )
    elif not after.present:
        note = f"no value in the target dataset: column {feature!r} is empty in all its rows"
    else:
        shares, known = _shares(before, after, MAX_CONTRIBUTORS)
        if known_rows is not None and is_categorical:
            known_rows[feature] = known
        contributors = _greatest_changes(shares, MAX_CONTRIBUTORS)
        if metric == "jensen_shannon_divergence":
            distance = jensen_shannon_divergence(_all_shares(before, after))
        else:
            distance = abs(contributors[0].change) if contributors else 0.0
        # numpy takes a while to import, and the Cloud Function starts without it.
        from transak_drift.drift.chance import distance_by_chance

        by_chance = distance_by_chance(before, int(after.present), metric)
    return FeatureDrift(
        feature=feature,
        metric=metric,
        distance=distance,
        threshold=threshold,
        contributors=contributors,
        note=note,
        by_chance=by_chance,
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
    shares, _ = _shares(baseline, target, limit)
    return _greatest_changes(shares, limit)


def _greatest_changes(shares: Iterable[Shares], limit: int) -> tuple[Contributor, ...]:
    # Values and labels are unique, so that the shares themselves are never compared.
    changes = [(-abs(after - before), value, before, after) for value, before, after in shares]
    return tuple(
        Contributor(value=value, baseline_share=before, target_share=after)
        for change, value, before, after in heapq.nsmallest(limit, changes)
        if change
    )


def _shares(
    baseline: FeatureStatistics, target: FeatureStatistics, limit: int
) -> tuple[list[Shares], int]:
    """Return the shares of all buckets, or of the values among which are the greatest changes.

    Of values also the target's rows with one that the baseline has.
    """
    if isinstance(baseline, NumericalStatistics) and isinstance(target, NumericalStatistics):
        return bucket_shares(baseline, target), 0
    assert isinstance(baseline, CategoricalStatistics)
    assert isinstance(target, CategoricalStatistics)
    baseline_total, target_total = baseline.present, target.present
    before, after = baseline.counts, target.counts
    # Each look-up costs more than all that is made of it.
    found = list(map(after.get, before, repeat(0)))
    changes = [
        abs(count / target_total - known / baseline_total)
        for known, count in zip(before.values(), found, strict=True)
    ]
    least = heapq.nlargest(limit, changes)[-1] if limit < len(changes) else 0.0
    chosen = [v for v, change in zip(before, changes, strict=True) if change >= least and change]
    # The baseline is looked up only for the few that could be among the greatest.
    enough = least * target_total * (1 - _ROUNDING)
    chosen += [value for value, count in after.items() if count >= enough and value not in before]
    shares = [
        (value, before.get(value, 0) / baseline_total, after.get(value, 0) / target_total)
        for value in chosen
    ]
    return shares, sum(found)


def _all_shares(baseline: FeatureStatistics, target: FeatureStatistics) -> Iterable[Shares]:
    """Return the shares of all buckets or values."""
    if isinstance(baseline, NumericalStatistics) and isinstance(target, NumericalStatistics):
        return bucket_shares(baseline, target)
    assert isinstance(baseline, CategoricalStatistics)
    assert isinstance(target, CategoricalStatistics)
    baseline_total, target_total = baseline.present, target.present
    before, after = baseline.counts, target.counts
    return (
        (value, before.get(value, 0) / baseline_total, after.get(value, 0) / target_total)
        for value in before | after
    )


def bucket_shares(baseline: NumericalStatistics, target: NumericalStatistics) -> list[Shares]:
    """Bring two distributions to the same buckets, and return the shares of each in them.

    Buckets of finite width are cut at the edges of both histograms, their mass spread evenly over
    their width. A point mass stays beside them and matches only a point mass at the same value.
    Infinities and NaN values match nothing of the other side.

    TFDV 1.16 means NaN values to count so, but forgets them where the finite ranges differ, since
    its RebucketHistogram does not carry the NaN count over. Here they always count: whether NaN
    values are drift must not depend on the ranges of the others.
    """
    sides = (baseline, target)
    grid = sorted({edge for side in sides if not side.is_point for edge in side.edges})
    masses = [
        (f"{low!r} to {high!r}", *(_mass_between(side, low, high) for side in sides))
        for low, high in pairwise(grid)
    ]
    for point in sorted({side.edges[0] for side in sides if side.is_point}):
        at_point = [
            side.counts[0] if side.is_point and side.edges[0] == point else 0.0 for side in sides
        ]
        masses.append((repr(point), *at_point))
    for label, unmatched in (
        ("infinities", [side.negative_infinities + side.positive_infinities for side in sides]),
        ("NaN", [side.nan for side in sides]),
    ):
        masses.append((f"{label} (baseline)", unmatched[0], 0.0))
        masses.append((f"{label} (target)", 0.0, unmatched[1]))
    return [
        (label, before / baseline.present, after / target.present)
        for label, before, after in masses
        if before or after
    ]


def jensen_shannon_divergence(shares: Iterable[Shares]) -> float:
    """Return the Jensen-Shannon divergence of aligned shares, in bits.

    JSD(P, Q) = (D(P || M) + D(Q || M)) / 2 with M = (P + Q) / 2 and D the Kullback-Leibler
    divergence with base 2. It is the divergence, not its square root: 0 for the same distribution
    and 1 for disjoint ones. Rounding is kept from leaving [0, 1].
    """
    divergence = math.fsum(
        share * math.log2(2 * share / (before + after))
        for _, before, after in shares
        for share in (before, after)
        if share > 0
    )
    return min(max(divergence / 2, 0.0), 1.0)


def _mass_between(side: NumericalStatistics, low: float, high: float) -> float:
    """Return the mass between two neighbours of the common grid."""
    bucket = bisect_right(side.edges, low) - 1
    if side.is_point or not 0 <= bucket < len(side.counts):
        return 0.0
    left, right = side.edges[bucket : bucket + 2]
    # Halved where the width is beyond the greatest float.
    scale = 0.5 if math.isinf(right - left) else 1.0
    return (high * scale - low * scale) / (right * scale - left * scale) * side.counts[bucket]
