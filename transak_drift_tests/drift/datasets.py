"""Statistics of small datasets, and the distance between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from transak_drift.config.monitoring_config import CategoricalMetric
from transak_drift.drift.chance import MAX_KEPT_NUMBERS, QUANTILES
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.monitoring_result import FeatureDrift
from transak_drift.local.dataset_statistics import equal_width_edges


def categorical(rows: Sequence[str | None]) -> CategoricalStatistics:
    counts = Counter(row for row in rows if row is not None)
    return CategoricalStatistics(counts, len(rows) - counts.total())


def numerical(cells: Sequence[float] | np.ndarray) -> NumericalStatistics:
    """Return the statistics of numbers, with what a scan of a baseline keeps of them."""
    values = np.array(cells)
    finite = np.sort(values[np.isfinite(values)])
    edges, counts, kept = (), (), finite
    if finite.size:
        low, high = float(finite[0]), float(finite[-1])
        edges = equal_width_edges(low, high) if low < high else (low, high)
        counts = np.histogram(finite, bins=edges)[0] if low < high else [finite.size]
    if finite.size > MAX_KEPT_NUMBERS:
        kept = np.quantile(finite, QUANTILES, method="inverted_cdf")
    return NumericalStatistics(
        edges,
        tuple(float(count) for count in counts),
        nan=int(np.isnan(values).sum()),
        quantiles=tuple(kept.tolist()),
    )


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
