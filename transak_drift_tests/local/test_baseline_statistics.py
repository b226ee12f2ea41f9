"""Baseline statistics on disk: nothing lost, damage noticed, replaced whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    NumericalStatistics,
)
from transak_drift.local.dataset_statistics import (
    baseline_statistics,
    load_statistics,
    save_statistics,
)

STATISTICS = DatasetStatistics(
    4,
    {
        "description": CategoricalStatistics({"": 1, "Zürich 😀": 2, "a\nb": 1}),
        "amount": NumericalStatistics((0.1, 0.1 + 0.2), (1,), nan=2, missing=1),
    },
)


def test_what_is_stored_is_loaded_the_same_and_is_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name / "1.statistics" for name in ("a", "b")]
    for path in paths:
        save_statistics(path, STATISTICS)
        assert load_statistics(path) == STATISTICS
        assert list(path.parent.iterdir()) == [path]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "of another version"])
def test_a_baseline_that_cannot_be_read_is_computed_again(tmp_path: Path, damage: str) -> None:
    path, rows = tmp_path / "1.statistics", tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": ["a", "b"]}), rows)
    expected = baseline_statistics(path, {"v": None}, CsvFormat(), lambda: [rows])
    assert baseline_statistics(path, {"v": None}, CsvFormat(), list) == expected
    whole = path.read_bytes()
    later = gzip.decompress(whole).replace(b'"format_version":1', b'"format_version":2')
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {
                "cut": whole[:-1],
                # The checksum of gzip tells it from what was stored.
                "changed": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:],
                "of another version": gzip.compress(later),
            }[damage]
        )
    assert baseline_statistics(path, {"v": None}, CsvFormat(), lambda: [rows]) == expected
    assert load_statistics(path) == expected
