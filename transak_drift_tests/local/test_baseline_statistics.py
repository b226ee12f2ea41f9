"""Baseline statistics on disk: nothing lost, damage noticed, replaced whole or not at all."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.drift.drift_statistics import feature_distance
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    NumericalStatistics,
)
from transak_drift.local.baseline_statistics import (
    BaselineStatisticsError,
    load_statistics,
    save_statistics,
)
from transak_drift.local.dataset_statistics import scan_statistics

STATISTICS = DatasetStatistics(
    4,
    {
        "description": CategoricalStatistics({"": 1, "Zürich 😀": 2, "a\nb": 1}),
        "amount": NumericalStatistics((0.1, 0.7), (1,), 0.1, 0.7, 0.1 + 0.2, nan=2, missing=1),
    },
)


def test_what_is_stored_is_loaded_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "1.statistics"
    save_statistics(path, STATISTICS)
    assert load_statistics(path) == STATISTICS
    assert list(path.parent.iterdir()) == [path]


def test_the_same_statistics_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_statistics(tmp_path / name, STATISTICS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_scan_compared_with_its_stored_self_has_no_distance(tmp_path: Path) -> None:
    values = [f"merchant {index % 700}" for index in range(3000)]
    pq.write_table(pa.table({"v": values, "n": range(3000)}), tmp_path / "a.parquet")
    scanned = scan_statistics([tmp_path / "a.parquet"], {"v": None, "n": None})
    save_statistics(tmp_path / "1.statistics", scanned)
    baseline = load_statistics(tmp_path / "1.statistics")
    assert baseline == scanned
    assert [feature_distance(name, baseline, scanned).distance for name in ("v", "n")] == [0, 0]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    with pytest.raises(
        BaselineStatisticsError, match="does not exist; scan the baseline"
    ) as caught:
        load_statistics(path)
    assert str(path) in str(caught.value)


def test_a_damaged_file_is_told_and_never_loaded_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    save_statistics(path, STATISTICS)
    whole = path.read_bytes()
    told = 0
    flipped = [
        whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :]
        for position in range(len(whole))
        for bit in range(8)
    ]
    for damaged in flipped:
        path.write_bytes(damaged)
        try:
            assert load_statistics(path) == STATISTICS
        except BaselineStatisticsError as error:
            assert str(path) in str(error)
            told += 1
    # The time, the system and the padding bits of gzip are no part of the content.
    assert len(flipped) - told < 8 * 10


def test_a_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    save_statistics(path, STATISTICS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BaselineStatisticsError, match=r"1\.statistics"):
            load_statistics(path)


def test_another_version_of_the_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    later = STATISTICS.to_json().replace('"format_version":1', '"format_version":2')
    path.write_bytes(gzip.compress(f"{{}}\n{later}".encode()))
    with pytest.raises(BaselineStatisticsError, match=r"of this version \(format_version: "):
        load_statistics(path)


def test_a_write_that_fails_leaves_the_old_statistics(tmp_path: Path) -> None:
    path = tmp_path / "1.statistics"
    save_statistics(path, STATISTICS)
    # A real process whose files may not grow as far: its write fails as on a full disk.
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from transak_drift.drift.feature_statistics import *\n"
        "from transak_drift.local.baseline_statistics import save_statistics\n"
        "counts = {f'{index * 7919 % 100_003}': 1 for index in range(50_000)}\n"
        "large = DatasetStatistics(50_000, {'description': CategoricalStatistics(counts)})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "save_statistics(Path(sys.argv[1]), large)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert finished.returncode != 0
    assert "File too large" in finished.stderr
    assert load_statistics(path) == STATISTICS
    assert list(tmp_path.iterdir()) == [path]
