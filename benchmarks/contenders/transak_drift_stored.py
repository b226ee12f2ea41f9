"""A monitoring run of this project: the baseline's statistics are stored, the target is scanned."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders.measurement import CATEGORICAL, FEATURES, NUMERICAL, run_contender
from transak_drift.drift.data_quality import measure_quality
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics, FeatureKind
from transak_drift.local.dataset_statistics import load_statistics, scan_statistics

KINDS: dict[str, FeatureKind | None] = {
    **dict.fromkeys(CATEGORICAL, FeatureKind.CATEGORICAL),
    **dict.fromkeys(NUMERICAL, FeatureKind.NUMERICAL),
}


def stored_statistics(file: Path) -> Path:
    """Return where the statistics of a baseline file are stored."""
    return file.with_suffix(".statistics.json.gz")


def distances(baseline: DatasetStatistics, target: DatasetStatistics) -> dict[str, float]:
    """Return the distance of each feature; the quality of the data is measured beside them."""
    known: dict[str, int] = {}
    found = compare_features(baseline, target, dict.fromkeys(FEATURES, 1.0), known_rows=known)
    measure_quality(baseline, target, known)
    return {item.feature: item.distance or 0.0 for item in found}


def compare_with_stored(baseline: Path, target: Path) -> dict[str, float]:
    """Scan the target and compare it with the stored statistics."""
    return distances(load_statistics(stored_statistics(baseline)), scan_statistics([target], KINDS))


if __name__ == "__main__":
    run_contender(compare_with_stored)
