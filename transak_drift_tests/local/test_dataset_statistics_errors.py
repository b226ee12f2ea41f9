"""Datasets that cannot be scanned: what is told, and where."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics

CATEGORICAL, NUMERICAL = FeatureKind.CATEGORICAL, FeatureKind.NUMERICAL


def _csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _told(*arguments: object, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        scan_statistics(*arguments, **options)  # ty: ignore[invalid-argument-type]
    return str(caught.value)


def test_a_missing_column_is_told_with_the_file_and_its_columns(tmp_path: Path) -> None:
    good = _csv(tmp_path / "good.csv", "description,type\na,b\n")
    bad = _csv(tmp_path / "bad.csv", "Description,typ,amount\na,b,1\n")
    told = _told([good, bad], {"type": None})
    assert f"{bad}: has no column 'type'" in told
    assert "its columns are 'Description', 'typ', 'amount'" in told
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"Type": ["x"], "amount": [1]}), path)
    assert _told([path], {"type": CATEGORICAL}) == (
        f"{path}: has no column 'type'; its columns are 'Type', 'amount'; "
        "fix: correct the name; upper and lower case count"
    )


@pytest.mark.parametrize("cell", ["12.50 CHF", "1'000", "1,5", "1_000", "zero", "0x10", "true"])
def test_a_cell_that_is_no_number_is_told_with_its_row(tmp_path: Path, cell: str) -> None:
    good = _csv(tmp_path / "good.csv", "n;v\n1;a\n")
    bad = _csv(tmp_path / "bad.csv", f'v;n\n"two\nlines";1\nb;\nc;{cell}\nd;worse\n')
    told = _told([good, bad], {"v": CATEGORICAL, "n": NUMERICAL})
    assert told.startswith(
        f"{bad}, line 5: column 'n' holds {cell!r} (also 'worse'), which is no number; fix: "
    )


def test_a_text_of_parquet_that_is_no_number_is_told_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": ["1", None, "x"]}), path)
    assert f"{path}, row 3: " in _told([path], {"n": NUMERICAL})


def test_columns_of_types_that_cannot_be_measured_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"tags": [["a"]], "more": [{"a": 1}], "day": [date(2026, 1, 1)], "n": [1]}), path
    )
    assert "column 'tags' is of type VARCHAR[]" in _told([path], {"tags": None})
    assert "column 'more' is of type STRUCT" in _told([path], {"more": CATEGORICAL})
    assert "'day' is of type DATE, which is not numerical" in _told([path], {"day": NUMERICAL})


def test_files_that_disagree_on_the_kind_are_told(tmp_path: Path) -> None:
    text = _csv(tmp_path / "text.csv", "v\nx\n")
    number = tmp_path / "number.parquet"
    pq.write_table(pa.table({"v": [1]}), number)
    assert _told([text, number], {"v": None}) == (
        f"column 'v' is categorical in {text}, numerical in {number}; fix: declare the feature: "
        '"feature_types": {"v": "categorical" or "numerical"}'
    )
    declared = scan_statistics([text, number], {"v": CATEGORICAL})
    assert declared.features["v"].present == 2


def test_a_file_without_a_value_of_a_column_has_no_say_in_its_kind(tmp_path: Path) -> None:
    empty = _csv(tmp_path / "empty.csv", 'v,w\n"",1\n,2\n')
    number = tmp_path / "number.parquet"
    pq.write_table(pa.table({"v": [1]}), number)
    found = scan_statistics([empty, number], {"v": None}).features["v"]
    assert (found.kind, found.present, found.missing) == (NUMERICAL, 1, 2)


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", "v,v,w\n1,2,3\n")
    assert "column 'v' is there 2 times" in _told([path], {"v": CATEGORICAL})
    assert scan_statistics([path], {"w": CATEGORICAL}).rows == 1


def test_a_cell_that_is_not_utf_8_far_into_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"v\n" + b"Zurich\n" * 200_000 + "Zürich\n".encode("latin-1"))
    assert f"{path}, line 200002: " in _told([path], {"v": CATEGORICAL})


def test_sources_that_hold_nothing_are_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    assert _told([missing], {}) == f"{missing} does not exist; fix: correct the path"
    assert f"{tmp_path} has no .parquet, .csv or .csv.gz file in it" in _told([tmp_path], {})
    assert "no file matches" in _told([tmp_path / "*.csv"], {})
    assert "names no source" in _told([], {})
    for remote in ("gs://bucket/a.parquet", "https://example.org/a.csv", "bq://a.b.c"):
        assert f"{remote} is an address, not a path" in _told([remote], {})
