"""Baseline statistics on disk: nothing lost, damage noticed, replaced whole or not at all."""

from __future__ import annotations

import gzip
import zlib
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


def test_damage_is_noticed_and_never_loaded_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    save_statistics(path, STATISTICS)
    whole = path.read_bytes()
    flipped = [
        whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :]
        for position in range(len(whole))
    ]
    cut = [whole[:length] for length in range(0, len(whole), 5)]
    noticed = 0
    for damaged in (*flipped, *cut):
        path.write_bytes(damaged)
        try:
            assert load_statistics(path) == STATISTICS
        except (OSError, EOFError, zlib.error, ValueError):
            noticed += 1
    # The time, the system and the padding bits of gzip are no part of the content.
    assert len(flipped) + len(cut) - noticed < 10


@pytest.mark.parametrize("damage", ["missing", "cut", "of another version"])
def test_a_baseline_that_cannot_be_read_is_computed_again(tmp_path: Path, damage: str) -> None:
    path, rows = tmp_path / "1.statistics", tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": ["a", "b"]}), rows)
    expected = baseline_statistics(path, {"v": None}, CsvFormat(), lambda: [rows])
    assert baseline_statistics(path, {"v": None}, CsvFormat(), list) == expected
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        text = gzip.decompress(path.read_bytes())
        later = text.replace(b'"format_version":1', b'"format_version":2')
        path.write_bytes(gzip.compress(later))
    assert baseline_statistics(path, {"v": None}, CsvFormat(), lambda: [rows]) == expected
    assert load_statistics(path) == expected
