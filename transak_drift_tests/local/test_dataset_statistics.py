"""Statistics of real Parquet and CSV files, what is told of files that have none, and distances.

Those of random datasets are compared with a computation by pandas, numpy and scipy.
"""

from __future__ import annotations

import gzip
import multiprocessing
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import chebyshev, jensenshannon

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.data_quality import measure_feature
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    NumericalStatistics,
)
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import (
    baseline_statistics,
    load_statistics,
    scan_statistics,
)

CATEGORICAL, NUMERICAL = FeatureKind.CATEGORICAL, FeatureKind.NUMERICAL


def _parquet(path: Path, **columns: pa.Array | list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def _csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _numerical(path: Path, name: str = "value") -> NumericalStatistics:
    feature = scan_statistics([path], {name: NUMERICAL}).features[name]
    assert isinstance(feature, NumericalStatistics)
    return feature


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_cells_are_taken_as_written(tmp_path: Path, delimiter: str, line_end: str) -> None:
    cells = ["value", "001", '""', "", '"a ""b"", c; d|e\tf"', '"two\nlines"', "NULL", "1.0"]
    cells += [" x ", "#9"]
    others = ["other", *range(1, 10)]
    rows = zip(cells, others, strict=True)
    text = line_end.join(f"{cell}{delimiter}{other}" for cell, other in rows)
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
    found = scan_statistics([parquet, csv], {name: CATEGORICAL}).features[name]
    assert found == CategoricalStatistics({"x": 4, "y": 2})


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


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "of another version"])
def test_a_stored_baseline_that_cannot_be_read_is_computed_again(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "baseline" / "1.statistics"
    rows = _parquet(tmp_path / "a.parquet", v=["Zürich 😀", "a\nb"], n=[0.1, 0.1 + 0.2])
    features = dict.fromkeys(("v", "n"))
    expected = baseline_statistics(path, features, CsvFormat(), lambda: [rows])
    assert baseline_statistics(path, features, CsvFormat(), list) == expected
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
    assert baseline_statistics(path, features, CsvFormat(), lambda: [rows]) == expected
    assert load_statistics(path) == expected
    assert list(path.parent.iterdir()) == [path]


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


NUMBERS = ("amount", "balance", "constant", "whole")
KINDS: dict[str, FeatureKind | None] = {"description": CATEGORICAL}
KINDS |= dict.fromkeys(NUMBERS, NUMERICAL)
DESCRIPTIONS = [
    " ", "Migros Zürich", "migros zürich", "SBB CFF FFS", "Café «Plüsch» 😀", "東京",
    'quo"te', "semi;colon", "com,ma", "two\nlines", "tab\t", "NULL", "nan", "001", "1",
    "e\u0301", "é",
]  # fmt: skip


def dataset(seed: int, rows: int, drift: float) -> pa.Table:
    random = np.random.default_rng(seed)
    known = DESCRIPTIONS[seed % 3 :] + [f"merchant {index}" for index in range(seed, seed + 300)]
    # Rounded numbers, so that many lie exactly on the edges of the buckets.
    balance = np.round(random.uniform(-10, 10 + drift, rows), 1)
    balance[:2] = (-10, 10)
    balance[2:20:6], balance[3:20:6], balance[4:20:6] = np.nan, np.inf, -np.inf
    columns = {
        "description": random.choice(
            np.array(known, dtype=object), rows, p=random.dirichlet(np.full(len(known), 0.3))
        ),
        "amount": random.gamma(2 + drift, 40, rows) * random.choice([-1, 1], rows, p=[0.9, 0.1]),
        "balance": balance,
        "constant": np.full(rows, 4.25),
        "whole": random.integers(-(10**6), 10**6, rows) * (seed % 2 + 1),
    }
    full = ("balance", "constant")
    return pa.table(
        {
            name: pa.array(column, mask=None if name in full else random.random(rows) < 0.07)
            for name, column in columns.items()
        }
    )


def write(table: pa.Table, path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=700)
    else:
        # Texts stand in quotes, and null is an empty cell.
        pa_csv.write_csv(table, path)
    return path


def present(table: pa.Table, name: str) -> np.ndarray:
    return np.array([cell for cell in table[name].to_pylist() if cell is not None])


def expected_l_infinity(baseline: pa.Table, target: pa.Table, name: str) -> float:
    shares = [
        pd.Series(present(side, name), dtype=object).value_counts(normalize=True)
        for side in (baseline, target)
    ]
    both = pd.concat(shares, axis=1).fillna(0.0)
    return float(chebyshev(both.iloc[:, 0], both.iloc[:, 1]))


def expected_divergence(baseline: pa.Table, target: pa.Table, name: str) -> float:
    sides = [present(side, name).astype(np.float64) for side in (baseline, target)]
    finite = [side[np.isfinite(side)] for side in sides]
    if all(len(set(side)) == 1 for side in finite):
        return float(finite[0][0] != finite[1][0])
    edges = [np.histogram_bin_edges(side, bins=10) for side in finite]
    grid = np.union1d(*edges)
    rows = []
    for side, values in enumerate(sides):
        counts, _ = np.histogram(finite[side], bins=10)
        spread = np.zeros(len(grid) - 1)
        for place, (low, high) in enumerate(pairwise(grid)):
            overlap = np.minimum(edges[side][1:], high) - np.maximum(edges[side][:-1], low)
            spread[place] = (counts * overlap.clip(0) / np.diff(edges[side])).sum()
        unmatched = np.zeros(4)
        unmatched[[side, 2 + side]] = np.isnan(values).sum(), np.isinf(values).sum()
        rows.append(np.concatenate([spread, unmatched]))
    return float(jensenshannon(*rows, base=2) ** 2)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("seeds", "rows", "drift"), [((2, 3), (3000, 40), 0.0), ((4, 6), (2000, 1500), 2.0)]
)
def test_distances_are_those_of_an_independent_computation(
    tmp_path: Path, suffix: str, seeds: tuple[int, int], rows: tuple[int, int], drift: float
) -> None:
    tables = [dataset(seeds[0], rows[0], 0.0), dataset(seeds[1], rows[1], drift)]
    baseline, target = (
        scan_statistics([write(table, tmp_path / f"{place}.{suffix}")], KINDS)
        for place, table in enumerate(tables)
    )
    assert (baseline.rows, target.rows) == rows
    for name, kind in KINDS.items():
        expect = expected_l_infinity if kind is FeatureKind.CATEGORICAL else expected_divergence
        found = compare_features(baseline, target, {name: 1.0})[0].distance or 0.0
        assert found == pytest.approx(expect(*tables, name), abs=1e-9), name
        if drift and name in ("description", "amount"):
            assert found > 0.01, name


def test_values_on_edges_fall_into_the_buckets_of_numpy(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns = {}
    for seed in range(10):
        low, high = np.sort(random.normal(0, 10.0 ** random.integers(-3, 6), 2))
        edges = np.linspace(low, high, 11)
        neighbours = [np.nextafter(edges, low), np.nextafter(edges, high)]
        values = np.concatenate([edges, *neighbours, random.uniform(low, high, 50)])
        columns[str(seed)] = values.clip(low, high)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = scan_statistics([tmp_path / "a.parquet"], dict.fromkeys(columns)).features
    for name, values in columns.items():
        counts, edges = np.histogram(values, bins=10)
        statistics = found[name]
        assert isinstance(statistics, NumericalStatistics)
        assert (statistics.edges, statistics.counts) == (tuple(edges), tuple(counts))


def test_the_type_that_a_column_is_stored_as_is_known_and_makes_no_difference(
    tmp_path: Path,
) -> None:
    columns = {
        "text": pa.array(["1", "2"]),
        "whole": pa.array([1, 2]),
        "money": pa.array([Decimal("1.5"), Decimal("2.5")]),
        "moment": pa.array([datetime(2026, 3, 1), datetime(2026, 3, 2)]),
        "flag": pa.array([True, False]),
        "nothing": pa.array([None, None]),
    }
    typed = _parquet(tmp_path / "typed.parquet", **columns)
    untyped = _csv(tmp_path / "untyped.csv", "text,whole\n1,1\n2,2\n")
    kinds = dict.fromkeys(columns, CATEGORICAL)
    stored = {n: it.stored_as for n, it in scan_statistics([typed], kinds).features.items()}
    assert stored == {
        "text": "text",
        "whole": "number",
        "money": "number",
        "moment": "time",
        "flag": "boolean",
        "nothing": "",
    }
    both = dict.fromkeys(("text", "whole"), CATEGORICAL)
    of_csv, of_parquet = (scan_statistics([file], both) for file in (untyped, typed))
    assert [it.stored_as for it in of_csv.features.values()] == ["", ""]
    assert of_csv == of_parquet
    # What is stored keeps it; numbers stored as text are measured, and said to be.
    amounts = {"text": NUMERICAL, "whole": NUMERICAL}
    found = DatasetStatistics.from_json(scan_statistics([typed], amounts).to_json())
    quality = measure_feature("whole", found.features["whole"], found.features["text"])
    assert quality.type_change == "stored as number in the baseline, as text in the window"
