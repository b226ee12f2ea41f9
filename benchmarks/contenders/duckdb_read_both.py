"""The limit without a stored baseline: DuckDB delivers every value of both files' columns."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders.duckdb_read import read
from benchmarks.contenders.measurement import run_contender


def read_both(baseline: Path, target: Path) -> dict[str, float]:
    """Read the columns of both files and drop them."""
    return read(target, baseline) | read(baseline, target)


if __name__ == "__main__":
    run_contender(read_both)
