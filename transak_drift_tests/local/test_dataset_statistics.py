"""How columns of real Parquet and CSV files become values, and what is told where they cannot."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    FeatureKind,
    NumericalStatistics,
)
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics

CATEGORICAL, NUMERICAL = FeatureKind.CATEGORICAL, FeatureKind.NUMERICAL


def _parquet(path: Path, **columns: pa.Array | list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def _csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _categorical(path: Path | list[Path], name: str = "value") -> CategoricalStatistics:
    sources = path if isinstance(path, list) else [path]
    feature = scan_statistics(sources, {name: CATEGORICAL}).features[name]
    assert isinstance(feature, CategoricalStatistics)
    return feature


def _numerical(path: Path, name: str = "value") -> NumericalStatistics:
    feature = scan_statistics([path], {name: NUMERICAL}).features[name]
    assert isinstance(feature, NumericalStatistics)
    return feature


@pytest.mark.parametrize(
    ("array", "counts"),
    [
        (pa.array(["", "Zürich", "zürich", None, ""]), {"Zürich": 1, "zürich": 1}),
        (pa.array(["a", "b", "a"]).dictionary_encode(), {"a": 2, "b": 1}),
        (pa.array([1, None, -7], pa.int16()), {"1": 1, "-7": 1}),
        (pa.array([2**64 - 1], pa.uint64()), {"18446744073709551615": 1}),
        (pa.array([True, False, True]), {"true": 2, "false": 1}),
        (pa.array([1.0, None, 2.5, -0.0, 1e300]), {"1": 1, "2.5": 1, "0": 1, "1e+300": 1}),
        (pa.array([float("nan"), float("-inf"), None]), {"nan": 1, "-inf": 1}),
        (pa.array([Decimal("1.50"), Decimal("2.00"), None]), {"1.5": 1, "2": 1}),
        (pa.array([Decimal("0.00"), Decimal("0.50")], pa.decimal128(9, 2)), {"0": 1, "0.5": 1}),
        (pa.array([date(2026, 1, 31)]), {"2026-01-31": 1}),
        (pa.array([datetime(2026, 1, 31, 9, tzinfo=UTC)]), {"2026-01-31 09:00:00": 1}),
        (pa.nulls(3), {}),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_categorical_values_of_parquet_are_text(
    tmp_path: Path, array: pa.Array, counts: dict[str, int]
) -> None:
    found = _categorical(_parquet(tmp_path / "a.parquet", value=array))
    assert found == CategoricalStatistics(counts, len(array) - sum(counts.values()))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_cells_are_taken_as_written(tmp_path: Path, delimiter: str, line_end: str) -> None:
    rows = [
        "value,other",
        "001,1",
        '"",2',
        ",3",
        '"a ""b"", c; d|e\tf",4',
        '"two\nlines",5',
        "NULL,6",
        "1.0,7",
        " x ,8",
        "#9,9",
    ]
    # The delimiter inside the quoted cell stays as it is in every variant.
    text = line_end.join(
        row if row.startswith('"a') and delimiter == "," else delimiter.join(row.rsplit(",", 1))
        for row in rows
    )
    found = scan_statistics(
        [_csv(tmp_path / "a.csv", text)], {"value": CATEGORICAL, "other": NUMERICAL}
    )
    values = ["001", 'a "b", c; d|e\tf', "two\nlines", "NULL", "1", " x ", "#9"]
    assert found.rows == 9
    assert found.features["value"] == CategoricalStatistics(dict.fromkeys(values, 1), 2)
    other = found.features["other"]
    assert isinstance(other, NumericalStatistics)
    assert (other.edges[0], other.edges[-1]) == (1, 9)


def test_column_names_of_any_characters_are_safe(tmp_path: Path) -> None:
    name = "a\"b; DROP TABLE x; -- $1 '"
    parquet = _parquet(tmp_path / "it's [1] $x ?.parquet", **{name: pa.array(["x", "y", "x"])})
    quoted = name.replace('"', '""')
    csv = _csv(tmp_path / "it's [1] $x ?.csv", f'"{quoted}",b\nx,1\ny,2\nx,3\n')
    assert _categorical([parquet, csv], name).counts == {"x": 4, "y": 2}


@pytest.mark.parametrize(
    "array",
    [
        pa.array([3, 1, None, 2], pa.int8()),
        pa.array([3, 1, None, 2], pa.uint64()),
        pa.array([3, 1, None, 2], pa.float32()),
        pa.array([Decimal("3.00"), Decimal("1.00"), None, Decimal("2.00")]),
        pa.array(["3", "1.0", "", "2e0"]),
    ],
    ids=lambda array: str(array.type),
)
def test_numerical_values_of_parquet_are_floats(tmp_path: Path, array: pa.Array) -> None:
    found = _numerical(_parquet(tmp_path / "a.parquet", value=array))
    assert found.counts == (1, 0, 0, 0, 0, 1, 0, 0, 0, 1)
    assert found.edges == tuple(np.linspace(1, 3, 11))
    assert found.missing == 1


def test_nan_and_infinities_are_values_and_null_is_not(tmp_path: Path) -> None:
    # The statistics of Parquet itself leave NaN out.
    found = _numerical(_parquet(tmp_path / "b.parquet", value=[1.0, float("nan"), 2.0]))
    assert (found.nan, sum(found.counts)) == (1, 2)
    values = pa.array([float("nan"), float("inf"), float("-inf"), float("nan"), None, 2.0, 2.0])
    assert _numerical(_parquet(tmp_path / "a.parquet", value=values)) == NumericalStatistics(
        edges=(2.0, 2.0),
        counts=(2,),
        negative_infinities=1,
        positive_infinities=1,
        nan=2,
        missing=1,
    )


def test_numbers_of_csv(tmp_path: Path) -> None:
    text = 'value,b\n1,x\n+2.5,x\n"",x\n,x\n-1e2,x\nnan,x\n-inf,x\nInfinity,x\n .5 ,x\n'
    found = _numerical(_csv(tmp_path / "a.csv", text))
    assert (found.edges[0], found.edges[-1], sum(found.counts)) == (-100, 2.5, 4)
    assert (found.nan, found.negative_infinities, found.positive_infinities) == (1, 1, 1)
    assert found.missing == 2


def test_numbers_at_the_limits_of_a_float(tmp_path: Path) -> None:
    integers = pa.array([2**53 + 1, 2**62 + 1, -(2**63)])
    found = _numerical(_parquet(tmp_path / "integers.parquet", value=integers))
    assert (found.edges[0], found.edges[-1]) == (float(-(2**63)), float(2**62 + 1))
    values = pa.array([-1.7e308, 1.7e308, 1.7e308, 1.6e308, 5e-324])
    found = _numerical(_parquet(tmp_path / "a.parquet", value=values))
    assert found.counts == (1, 0, 0, 0, 0, 1, 0, 0, 0, 3)


def test_kind_follows_the_column_type_of_parquet(tmp_path: Path) -> None:
    numbers = {"whole": [1, 2], "fraction": [0.5, 1.5], "money": pa.array([Decimal("1.00"), None])}
    others = {"text": ["1", "2"], "flag": [True, False], "day": [date(2026, 1, 1)] * 2}
    columns = {**others, **numbers, "nothing": pa.nulls(2)}
    path = _parquet(tmp_path / "a.parquet", **columns)
    found = scan_statistics([path], dict.fromkeys(columns)).features
    assert {name for name, item in found.items() if item.kind == NUMERICAL} == numbers.keys()


def test_directories_globs_and_files_of_both_formats_are_one_dataset(tmp_path: Path) -> None:
    nested = tmp_path / "2026" / "01"
    nested.mkdir(parents=True)
    (tmp_path / "_temporary").mkdir()
    _parquet(nested / "a.parquet", value=["x"], n=[1])
    _parquet(nested / "b.parquet", n=[2.5], value=["y"])
    _csv(tmp_path / "c.csv", "n,more,value\n3,z,x\n")
    _csv(tmp_path / "d.csv", "value;n\ny;4\n")
    _csv(tmp_path / "_temporary" / "e.csv", "half a row")
    _csv(tmp_path / "notes.txt", "no data")
    expected = scan_statistics([tmp_path], {"value": None, "n": None})
    assert expected.rows == 4
    assert expected.features["value"] == CategoricalStatistics({"x": 2, "y": 2})
    amount = expected.features["n"]
    assert isinstance(amount, NumericalStatistics)
    assert (amount.edges[0], amount.edges[-1], amount.present) == (1, 4, 4)
    in_pieces = [nested / "a.parquet", str(tmp_path / "*" / "*" / "b.parquet"), tmp_path / "?.csv"]
    assert scan_statistics(in_pieces, {"value": None, "n": None}) == expected
    assert scan_statistics([*in_pieces, nested], {"value": None, "n": None}) == expected
    assert scan_statistics([tmp_path], {}).rows == 4


def test_datasets_without_rows_have_statistics(tmp_path: Path) -> None:
    no_rows = {"value": pa.array([], pa.string()), "n": pa.array([], pa.int8())}
    for path in (
        _csv(tmp_path / "none.csv", ""),
        _csv(tmp_path / "header.csv", "value,n\n"),
        _parquet(tmp_path / "a.parquet", **no_rows),
    ):
        found = scan_statistics([path], {"value": CATEGORICAL, "n": NUMERICAL})
        assert found.rows == 0
        empty = {"value": CategoricalStatistics({}), "n": NumericalStatistics((), ())}
        assert found.features == empty


def _rows_of(path: Path) -> int:
    return scan_statistics([path], {"value": CATEGORICAL}).rows


def test_a_process_that_is_forked_from_one_that_has_scanned_scans_too(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", value=["x", "y"])
    assert _rows_of(path) == 2
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_rows_of, (path,)).get(timeout=60) == 2
    assert _rows_of(path) == 2


def _told(*arguments: object, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        scan_statistics(*arguments, **options)  # ty: ignore[invalid-argument-type]
    return str(caught.value)


def test_a_missing_column_is_told_with_the_file_and_its_columns(tmp_path: Path) -> None:
    good = _csv(tmp_path / "good.csv", "description,type\na,b\n")
    bad = _csv(tmp_path / "bad.csv", "Description,Type,amount\na,b,1\n")
    assert _told([good, bad], {"type": None}) == (
        f"{bad}: has no column 'type'; its columns are 'Description', 'Type', 'amount'; "
        "fix: add it, or correct the name in the configuration; upper and lower case count"
    )
    path = _parquet(tmp_path / "a.parquet", Type=["x"])
    assert f"{path}: has no column 'type'" in _told([path], {"type": CATEGORICAL})


@pytest.mark.parametrize("cell", ["12.50 CHF", "1'000", "1,5", "1_000", "zero", "0x10", "true"])
def test_a_cell_that_is_no_number_is_told_with_its_row(tmp_path: Path, cell: str) -> None:
    good = _csv(tmp_path / "good.csv", "n;v\n1;a\n")
    bad = _csv(tmp_path / "bad.csv", f'v;n\n"two\nlines";1\nb;\nc;{cell}\nd;worse\n')
    told = _told([good, bad], {"v": CATEGORICAL, "n": NUMERICAL})
    assert told.startswith(
        f"{bad}, line 5: column 'n' holds {cell!r} (also 'worse'), which is no number; fix: "
    )
    path = _parquet(tmp_path / "a.parquet", n=["1", None, cell])
    assert f"{path}, row 3: " in _told([path], {"n": NUMERICAL})


def test_columns_of_types_that_cannot_be_measured_are_told(tmp_path: Path) -> None:
    columns = {"tags": [["a"]], "more": [{"a": 1}], "day": [date(2026, 1, 1)]}
    path = _parquet(tmp_path / "a.parquet", **columns)
    assert "column 'tags' is of type VARCHAR[]" in _told([path], {"tags": None})
    assert "column 'more' is of type STRUCT" in _told([path], {"more": CATEGORICAL})
    assert "'day' is of type DATE, which is not numerical" in _told([path], {"day": NUMERICAL})


def test_files_that_disagree_on_the_kind_are_told_but_one_without_a_value_has_no_say(
    tmp_path: Path,
) -> None:
    text = _csv(tmp_path / "text.csv", "v\nx\n")
    number = _parquet(tmp_path / "number.parquet", v=[1])
    assert _told([text, number], {"v": None}) == (
        f"column 'v' is categorical in {text}, numerical in {number}; fix: declare the feature: "
        '"feature_types": {"v": "categorical" or "numerical"}'
    )
    declared = scan_statistics([text, number], {"v": CATEGORICAL})
    assert declared.features["v"].present == 2
    empty = _csv(tmp_path / "empty.csv", 'v,w\n"",1\n,2\n')
    found = scan_statistics([empty, number], {"v": None}).features["v"]
    assert (found.kind, found.present, found.missing) == (NUMERICAL, 1, 2)


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path = _csv(tmp_path / "a.csv", "v,v,w\n1,2,3\n")
    assert "column 'v' is there 2 times" in _told([path], {"v": CATEGORICAL})
    assert scan_statistics([path], {"w": CATEGORICAL}).rows == 1


def test_a_cell_that_is_not_utf_8_far_into_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"v\n" + b"Zurich " * 200_000 + b"\n" + "Zürich\n".encode("latin-1"))
    assert f"{path}, line 3: " in _told([path], {"v": CATEGORICAL})


def test_sources_that_hold_nothing_are_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    assert _told([missing], {}) == f"{missing} does not exist; fix: correct the path"
    assert f"{tmp_path} has no .parquet, .csv or .csv.gz file in it" in _told([tmp_path], {})
    assert "no file matches" in _told([tmp_path / "*.csv"], {})
    for remote in ("gs://bucket/a.parquet", "https://example.org/a.csv", "bq://a.b.c"):
        assert f"{remote} is an address, not a path" in _told([remote], {})
