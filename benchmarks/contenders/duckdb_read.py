"""The limit: DuckDB delivers every value of the target's columns, and nobody looks at them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.contenders.measurement import FEATURES, run_contender


def read(baseline: Path, target: Path) -> dict[str, float]:
    """Read the target's columns as Arrow batches and drop them."""
    with duckdb.connect(":memory:") as connection:
        relation = connection.read_parquet(str(target)).project(", ".join(FEATURES))
        rows = sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(relation))
    assert rows > 0
    return {}


if __name__ == "__main__":
    run_contender(read)
