"""This project without a stored baseline: both files are scanned, as by the peers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders.measurement import run_contender
from benchmarks.contenders.transak_drift_stored import KINDS, distances
from transak_drift.local.dataset_statistics import scan_statistics


def compare(baseline: Path, target: Path) -> dict[str, float]:
    """Scan both files and compare them."""
    return distances(
        scan_statistics([baseline], KINDS, is_baseline=True), scan_statistics([target], KINDS)
    )


if __name__ == "__main__":
    run_contender(compare)
