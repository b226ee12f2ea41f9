"""Which rows no version is trained on: the same ones for every process, model and type of file."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.config.sections import CsvFormat
from transak_drift.local.evaluation import is_held_out, row_hashes
from transak_drift.local.tabular_files import open_reader
from transak_drift.local.trainer import read_labelled_rows
from transak_drift.local.transaction_generator import (
    GeneratedTransactions,
    GeneratorSettings,
    generate_day,
)
from transak_drift_tests.windows import day_window

DAY = date(2026, 3, 4)


def hashes(path: Path, label_column: str = "category") -> list[int]:
    with open_reader(CsvFormat()) as reader:
        [files] = reader.open_files([path], [])
        return row_hashes(reader, files, label_column).tolist()


def is_held_out_count(found: list[int]) -> int:
    return int(is_held_out(np.array(found, dtype=np.uint64)).sum())


def write(path: Path, **columns: object) -> Path:
    if path.suffix == ".csv":
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        pq.write_table(pa.table(columns), path)
    return path


def test_a_row_is_known_by_its_id(tmp_path: Path) -> None:
    ids = [*range(1, 2001)]
    found = hashes(write(tmp_path / "a.parquet", transaction_id=ids, category=["a"] * 2000))
    assert len(set(found)) == 2000
    with_more = {"amount": [1.5] * 2000, "category": ["b"] * 2000}
    assert hashes(write(tmp_path / "a.csv", transaction_id=ids, **with_more)) == found
    reverse = write(tmp_path / "b.parquet", transaction_id=[str(n) for n in reversed(ids)])
    assert hashes(reverse)[::-1] == found
    # Their number in any two thousand rows has a standard deviation of 18.
    assert 400 - 90 < is_held_out_count(found) < 400 + 90


@pytest.mark.parametrize("without_id", [{}, {"transaction_id": [None, ""] * 200}])
def test_a_row_without_an_id_is_known_by_all_but_its_label(
    tmp_path: Path, without_id: dict[str, list[str | None]]
) -> None:
    columns = {
        "description": ["Migros Bern", "SBB"] * 200,
        "amount": [12.5, 3.0] * 200,
        "type": ["card"] * 400,
    }
    found = hashes(write(tmp_path / "a.parquet", **columns, **without_id))
    # Alike rows are told apart, so that some of a frequent text are trained on.
    assert len(set(found)) == 400
    assert 0 < is_held_out_count(found[::2]) < 200
    if without_id:
        return
    later = write(tmp_path / "a.csv", **columns, category=["food", "travel"] * 200)
    assert hashes(later) == found


def test_a_hash_is_the_same_in_every_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", transaction_id=["Ω", "b"], category=["a", "a"])
    found = hashes(path)
    script = (
        "import sys; from pathlib import Path; "
        "from transak_drift_tests.local.test_held_out_rows import hashes; "
        "print(hashes(Path(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert other.stdout.strip() == str(found)


def test_no_row_is_both_trained_on_and_held_out(tmp_path: Path) -> None:
    source = GeneratedTransactions(GeneratorSettings(rows_per_day=300))
    source.write_window(day_window(DAY), tmp_path / "a.parquet")
    rows = read_labelled_rows([tmp_path / "a.parquet"], "category", 0)
    again = read_labelled_rows([tmp_path / "a.parquet"], "category", 9, 100)
    assert len(rows.training) + len(rows.held_out[-1]) == 300
    assert [item.tolist() for item in again.held_out] == [item.tolist() for item in rows.held_out]
    every = generate_day(DAY, source.settings).column("description").to_pylist()
    assert sorted([*rows.training[:, 0], *rows.held_out[-1][:, 0]]) == sorted(every)
