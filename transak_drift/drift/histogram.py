"""Histograms of numerical features and the divergence between two of them.

Source of the definitions: TensorFlow Data Validation, `anomalies/metrics.cc`
(JensenShannonDivergence, AlignHistograms) and `utils/quantiles_util.py` (the STANDARD histogram),
which Vertex AI Model Monitoring uses.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

STANDARD_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class Bucket:
    """Mass between two bounds; an infinite bound holds the infinities as well.

    The mass need not be whole, since quantile sketches estimate it. A bucket whose bounds are the
    same holds a point mass.
    """

    low: float
    high: float
    count: float

    @property
    def is_infinite(self) -> bool:
        """Whether a bound is infinite."""
        return math.isinf(self.low) or math.isinf(self.high)

    @property
    def is_point(self) -> bool:
        """Whether the bucket is a point mass at a finite value."""
        return self.low == self.high and not self.is_infinite


@dataclass(frozen=True, slots=True)
class Histogram:
    """Buckets in ascending order that do not overlap, and the NaN values beside them."""

    buckets: tuple[Bucket, ...]
    nan_count: float = 0.0


@dataclass(frozen=True, slots=True)
class AlignedBucket:
    """A bucket as both histograms have it after alignment; the label names it for people."""

    label: str
    baseline: float
    target: float


def equal_width_edges(
    minimum: float, maximum: float, buckets: int = STANDARD_BUCKETS
) -> tuple[float, ...]:
    """Return the edges of equal-width buckets between two finite values.

    The edges are those of `numpy.linspace(minimum, maximum, buckets + 1)`. Two cases that
    numpy.histogram refuses are defined here: a range wider than the greatest float is divided
    without overflow, and a range too narrow for so many distinct floats gets fewer buckets.

    Args:
        minimum: lowest edge.
        maximum: highest edge, > minimum.
        buckets: how many buckets, >= 1.

    Returns:
        At most `buckets` + 1 edges, strictly ascending, from `minimum` to `maximum`.

    Raises:
        ValueError: the bounds are not finite or not in order.
    """
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum < maximum):
        raise ValueError(
            f"no buckets between minimum {minimum} and maximum {maximum}: "
            "give finite values with minimum < maximum"
        )
    span = maximum - minimum
    step = span / buckets
    if math.isinf(span):
        inner = [
            minimum * (1 - index / buckets) + maximum * (index / buckets)
            for index in range(1, buckets)
        ]
    elif step == 0:
        inner = [index / buckets * span + minimum for index in range(1, buckets)]
    else:
        inner = [index * step + minimum for index in range(1, buckets)]
    return tuple(sorted({minimum, *inner, maximum}))


def align_histograms(baseline: Histogram, target: Histogram) -> tuple[AlignedBucket, ...]:
    """Bring two histograms to the same buckets; their masses add up to each histogram's total.

    Buckets of finite width are cut at the boundaries of both histograms, their mass spread evenly
    over their width. Point masses stay beside them and match only a point mass at the same value.
    Buckets with an infinite bound, and NaN values, match nothing of the other side.

    TFDV 1.16 means NaN values to count so, but forgets them where the finite ranges differ, since
    its RebucketHistogram does not carry the NaN count over. Here they always count: whether NaN
    values are drift must not depend on the ranges of the others.
    """
    aligned = _aligned_widths(baseline, target)
    baseline_points, target_points = _point_masses(baseline), _point_masses(target)
    for point in sorted(baseline_points.keys() | target_points.keys()):
        aligned.append(AlignedBucket(repr(point), baseline_points[point], target_points[point]))
    for label, baseline_mass, target_mass in (
        ("infinite bounds", _infinite_mass(baseline), _infinite_mass(target)),
        ("NaN", baseline.nan_count, target.nan_count),
    ):
        if baseline_mass:
            aligned.append(AlignedBucket(f"{label} (baseline)", baseline_mass, 0.0))
        if target_mass:
            aligned.append(AlignedBucket(f"{label} (target)", 0.0, target_mass))
    return tuple(aligned)


def histogram_divergence(baseline: Histogram, target: Histogram) -> float:
    """Return the Jensen-Shannon divergence between two histograms with mass, in bits.

    JSD(P, Q) = (D(P || M) + D(Q || M)) / 2 with M = (P + Q) / 2 and D the Kullback-Leibler
    divergence with base 2, over the aligned and normalised buckets. It is the divergence, not its
    square root. Rounding is kept from leaving [0, 1].

    It is 0 for the same distribution and 1 for disjoint ones. Infinite bounds and NaN values match
    nothing, so a histogram with them differs from itself.
    """
    aligned = align_histograms(baseline, target)
    baseline_total = math.fsum(bucket.baseline for bucket in aligned)
    target_total = math.fsum(bucket.target for bucket in aligned)
    baseline_shares = [bucket.baseline / baseline_total for bucket in aligned]
    target_shares = [bucket.target / target_total for bucket in aligned]
    mixture = [(p + q) / 2 for p, q in zip(baseline_shares, target_shares, strict=True)]
    divergence = (
        _kullback_leibler_divergence(baseline_shares, mixture)
        + _kullback_leibler_divergence(target_shares, mixture)
    ) / 2
    return min(max(divergence, 0.0), 1.0)


def _kullback_leibler_divergence(shares: Sequence[float], reference: Sequence[float]) -> float:
    return math.fsum(
        p * math.log2(p / q) for p, q in zip(shares, reference, strict=True) if p > 0 and q > 0
    )


def _aligned_widths(baseline: Histogram, target: Histogram) -> list[AlignedBucket]:
    baseline_buckets, target_buckets = _wide_buckets(baseline), _wide_buckets(target)
    boundaries = sorted(
        {
            bound
            for bucket in (*baseline_buckets, *target_buckets)
            for bound in (bucket.low, bucket.high)
        }
    )
    baseline_masses = _spread(baseline_buckets, boundaries)
    target_masses = _spread(target_buckets, boundaries)
    return [
        AlignedBucket(f"{low!r} to {high!r}", baseline_masses[low], target_masses[low])
        for low, high in pairwise(boundaries)
    ]


def _wide_buckets(histogram: Histogram) -> list[Bucket]:
    return [bucket for bucket in histogram.buckets if not (bucket.is_point or bucket.is_infinite)]


def _spread(buckets: Iterable[Bucket], boundaries: Sequence[float]) -> defaultdict[float, float]:
    """Map each boundary to the mass between it and the next one."""
    masses: defaultdict[float, float] = defaultdict(float)
    position = 0
    for bucket in buckets:
        while boundaries[position] < bucket.low:
            position += 1
        while boundaries[position] < bucket.high:
            low, high = boundaries[position], boundaries[position + 1]
            masses[low] += _fraction(low, high, bucket) * bucket.count
            position += 1
    return masses


def _fraction(low: float, high: float, bucket: Bucket) -> float:
    width = bucket.high - bucket.low
    if math.isinf(width):
        # Halved bounds, since the width is beyond the greatest float.
        return (high / 2 - low / 2) / (bucket.high / 2 - bucket.low / 2)
    return (high - low) / width


def _point_masses(histogram: Histogram) -> defaultdict[float, float]:
    masses: defaultdict[float, float] = defaultdict(float)
    for bucket in histogram.buckets:
        if bucket.is_point:
            masses[bucket.low] += bucket.count
    return masses


def _infinite_mass(histogram: Histogram) -> float:
    return math.fsum(bucket.count for bucket in histogram.buckets if bucket.is_infinite)
