"""A lower limit than any reader's: DuckDB folds every value within its engine, delivering none.

Values that the file's dictionaries encode are folded once each, and strings are never copied.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.contenders.measurement import FEATURES, run_contender


def fold(baseline: Path, target: Path) -> dict[str, float]:
    """Fold the target's columns to one number each."""
    with duckdb.connect(":memory:") as connection:
        folds = ", ".join(f"bit_xor(hash({feature}))" for feature in FEATURES)
        row = connection.read_parquet(str(target)).aggregate(folds).fetchall()[0]
    assert len(row) == len(FEATURES)
    return {}


if __name__ == "__main__":
    run_contender(fold)
