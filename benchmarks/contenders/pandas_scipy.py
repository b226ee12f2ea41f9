"""Peer: pandas and SciPy, with this project's definitions of the distances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import distance

from benchmarks.contenders.measurement import CATEGORICAL, FEATURES, NUMERICAL, run_contender


def compare(baseline: Path, target: Path) -> dict[str, float]:
    """Compare two Parquet files."""
    before = pd.read_parquet(baseline, columns=list(FEATURES))
    after = pd.read_parquet(target, columns=list(FEATURES))
    found = {name: l_infinity(before[name], after[name]) for name in CATEGORICAL}
    return found | {name: jensen_shannon(before[name], after[name]) for name in NUMERICAL}


def l_infinity(before: pd.Series, after: pd.Series) -> float:
    """Return the greatest difference of any value's share."""
    shares = [side.value_counts(normalize=True) for side in (before, after)]
    return float(shares[0].sub(shares[1], fill_value=0.0).abs().max())


def jensen_shannon(before: pd.Series, after: pd.Series) -> float:
    """Return the divergence, base 2, of two histograms of ten buckets over common edges."""
    edges = np.histogram_bin_edges(
        [min(before.min(), after.min()), max(before.max(), after.max())], bins=10
    )
    counts = [np.histogram(side.to_numpy(), bins=edges)[0] for side in (before, after)]
    return float(distance.jensenshannon(*counts, base=2) ** 2)


if __name__ == "__main__":
    run_contender(compare)
