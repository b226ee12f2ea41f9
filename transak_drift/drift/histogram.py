"""Histograms of numerical features, and the divergence between two of them.

Source of the definitions: TensorFlow Data Validation, `anomalies/metrics.cc`
(JensenShannonDivergence, AlignHistograms) and `utils/quantiles_util.py` (the STANDARD histogram),
which Vertex AI Model Monitoring uses.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from transak_drift.drift.feature_statistics import NumericalStatistics

# A value (or bucket) with its share of the baseline and of the target.
Shares = tuple[str, float, float]


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
