"""Statistics of small datasets, and the distance between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

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


def numerical(rows: Iterable[float | str | None]) -> NumericalStatistics:
    """Return the statistics of numbers, of texts such as "nan", and of None for a null."""
    cells = list(rows)
    values = np.array([float(cell) for cell in cells if cell is not None])
    finite = values[np.isfinite(values)]
    edges: tuple[float, ...] = ()
    counts: Iterable[float] = ()
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        edges = equal_width_edges(low, high) if low < high else (low, high)
        counts = np.histogram(finite, bins=edges)[0] if low < high else [finite.size]
    return NumericalStatistics(
        edges=edges,
        counts=tuple(float(count) for count in counts),
        negative_infinities=int(np.isneginf(values).sum()),
        positive_infinities=int(np.isposinf(values).sum()),
        nan=int(np.isnan(values).sum()),
        missing=len(cells) - values.size,
    )


def compare(baseline: FeatureStatistics, target: FeatureStatistics) -> FeatureDrift:
    """Compare two datasets of one feature, `type`."""
    datasets = [
        DatasetStatistics(int(side.present) + side.missing, {"type": side})
        for side in (baseline, target)
    ]
    [found] = compare_features(*datasets, {"type": 0.3})
    return found


def distance(baseline: FeatureStatistics, target: FeatureStatistics) -> float:
    found = compare(baseline, target).distance
    assert found is not None
    return found
