"""The same values in two files have no distance, whatever the type of the files and columns."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics

KINDS: dict[str, FeatureKind | None] = {"x": FeatureKind.CATEGORICAL}


def parquet(*arrays: pa.Array) -> list[pa.Table]:
    return [pa.table({"x": array}) for array in arrays]


DAYS = [date(2026, 1, 31), None, date(2026, 2, 28), date(2026, 1, 31)]
MIDNIGHTS = [day and datetime(day.year, day.month, day.day) for day in DAYS]
MOMENTS = [datetime(2026, 1, 31, 9, 30), datetime(2026, 1, 31), datetime(2026, 1, 31, 1, 2, 3, 4)]
ACCOUNTS = [1234567890123456, 9007199254740992, 1234567890123456, 7]
PAIRS: dict[str, list[pa.Table | str]] = {
    "text and bytes": parquet(
        pa.array(["Bäckerei", "Café", "", None, "Bäckerei"]),
        pa.array(["Bäckerei".encode(), "Café".encode(), b"", None, "Bäckerei".encode()]),
        pa.array(["Bäckerei", "Café", None, None, "Bäckerei"]).dictionary_encode(),
    ),
    "booleans": [
        *parquet(pa.array([True, False, None, True])),
        "x\nTrue\nFalse\n\nTrue\n",
        "x\nTRUE\nFALSE\n\nTRUE\n",
        *parquet(pa.array(["true", "false", None, "true"])),
    ],
    "accounts": parquet(
        pa.array(ACCOUNTS),
        pa.array(ACCOUNTS, pa.float64()),
        pa.array([str(account) for account in ACCOUNTS]),
        pa.array([Decimal(account) for account in ACCOUNTS]),
        pa.array(ACCOUNTS, pa.uint64()),
    ),
    "floats and decimals": [
        *parquet(
            pa.array([1.5, 2.0, -0.25, None, 1e-7, 1.5]),
            pa.array([Decimal("1.5"), Decimal(2), Decimal("-0.25"), None, Decimal("1e-7")] * 1
                     + [Decimal("1.50")], pa.decimal128(18, 9)),
        ),
        "x\n1.50\n2.0\n-.25\n\n0.0000001\n1.5\n",
        "x\n1.5\n2\n-0.25\n\n1e-07\n1.5\n",
    ],
    "single precision": parquet(
        pa.array([0.1, 2.5, 16777216.0], pa.float32()), pa.array(["0.1", "2.5", "16777216"])
    ),
    "days and midnights": [
        *parquet(
            pa.array(DAYS, pa.date32()),
            pa.array(MIDNIGHTS, pa.timestamp("s")),
            pa.array(MIDNIGHTS, pa.timestamp("ns")),
            pa.array(MIDNIGHTS, pa.timestamp("us", "UTC")),
        ),
        "x\n2026-01-31\n\n2026-02-28 00:00:00\n2026-01-31T00:00:00Z\n",
    ],
    "moments": [
        *parquet(
            *(pa.array(MOMENTS, pa.timestamp(unit)) for unit in ("us", "ns")),
            pa.array([m.replace(tzinfo=UTC) for m in MOMENTS], pa.timestamp("us", "Europe/Zurich")),
            pa.array([m.replace(tzinfo=UTC) for m in MOMENTS], pa.timestamp("ns", "UTC")),
        ),
        "x\n2026-01-31T09:30\n2026-01-31\n2026-01-31 02:02:03.000004+01:00\n",
    ],
    "missing": [
        *parquet(pa.array(["a", "", None]), pa.array([b"a", None, b""])),
        'x\na\n""\n\n',
        'y,x\n1,a\n2,""\n3,\n',
    ],
}  # fmt: skip


def write(content: pa.Table | str, path: Path) -> Path:
    if isinstance(content, str):
        path = path.with_suffix(".csv")
        path.write_text(content, encoding="utf-8")
    else:
        path = path.with_suffix(".parquet")
        pq.write_table(content, path)
    return path


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_values_have_no_distance(tmp_path: Path, name: str) -> None:
    paths = [write(content, tmp_path / str(n)) for n, content in enumerate(PAIRS[name])]
    found = [scan_statistics([path], KINDS) for path in paths]
    for one, other in itertools.combinations(found, 2):
        assert one.features["x"].missing == other.features["x"].missing
        assert compare_features(one, other, {"x": 1.0})[0].distance == 0, (one, other)
    # Files of several types are one dataset, too.
    whole = scan_statistics(paths, KINDS)
    assert whole.rows == sum(statistics.rows for statistics in found)
    assert compare_features(whole, found[0], {"x": 1.0})[0].distance == pytest.approx(0, abs=1e-12)


def test_files_of_pandas_and_of_arrow(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 30, 1], dtype="Int64"),
            "float": [1.0, None, 2.25, 1e16],
            "flag": [True, False, True, True],
            "day": pd.to_datetime(["2026-01-31", None, "2026-02-01", "2026-01-31"]),
            "moment": pd.to_datetime(
                ["2026-01-31 09:00", "2026-01-31 00:00", "2026-02-01 01:02", None]
            ),
            "zoned": pd.to_datetime(["2026-01-31 09:00"] * 4).tz_localize("Europe/Zurich"),
            "money": [Decimal("1.50"), None, Decimal("2.00"), Decimal("-0.05")],
            "text": ["a", "", None, "007"],
        }
    )
    frame.to_csv(tmp_path / "pandas.csv", index=False)
    frame.to_parquet(tmp_path / "pandas.parquet", index=False)
    frame.astype({"whole": "float64"}).to_csv(tmp_path / "floats.csv", index=False)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pa_csv.write_csv(table, tmp_path / "arrow.csv")
    kinds = dict.fromkeys(frame.columns, FeatureKind.CATEGORICAL)
    expected = scan_statistics([tmp_path / "pandas.parquet"], {**kinds})
    for name in ("pandas.csv", "floats.csv", "arrow.csv"):
        assert scan_statistics([tmp_path / name], {**kinds}) == expected, name


def test_the_decimal_comma_is_the_decimal_mark_where_the_configuration_says_so(
    tmp_path: Path,
) -> None:
    numbers = write(pa.table({"x": [193.21, 1234.5, -7.0, None]}), tmp_path / "a")
    comma = write('x;y\n193,21;1\n"1.234,50";1\n-7;1\n;1\n', tmp_path / "b")
    numerical: dict[str, FeatureKind | None] = {"x": FeatureKind.NUMERICAL}
    csv_format = CsvFormat(decimal=",")
    expected = scan_statistics([numbers], numerical)
    assert scan_statistics([comma], numerical, csv_format=csv_format) == expected
    assert scan_statistics([comma], {"x": None}, csv_format=csv_format) == expected
    assert scan_statistics([comma], KINDS, csv_format=csv_format) == scan_statistics(
        [numbers], KINDS
    )
    for kinds in (numerical, {"x": None}):
        with pytest.raises(DatasetError, match=r'line 2: .*193,21.*"csv": \{"decimal": ","\}'):
            scan_statistics([comma], kinds)
    point = write("x\n1.234\n", tmp_path / "c")
    with pytest.raises(DatasetError, match=r"line 2: column 'x' holds '1\.234'.*with the comma"):
        scan_statistics([point], numerical, csv_format=csv_format)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1.5", "n/a", "", "NULL", "2"], FeatureKind.NUMERICAL),
        (["n/a", "", "-"], FeatureKind.CATEGORICAL),
        (["1_000", "2_000"], FeatureKind.CATEGORICAL),
        (["001", "12", "13"], FeatureKind.CATEGORICAL),
        (["4711", "TWINT", "12", "x"], FeatureKind.CATEGORICAL),
        (["31.12.2025", "01.01.2026"], FeatureKind.CATEGORICAL),
        (["Coop 1,50", "Migros 2,50"], FeatureKind.CATEGORICAL),
    ],
)
def test_the_kind_of_an_untyped_column(tmp_path: Path, cells: list[str], kind: FeatureKind) -> None:
    path = write("x;y\n" + "".join(f"{cell};\n" for cell in cells), tmp_path / "a")
    assert scan_statistics([path], {"x": None}).features["x"].kind == kind


@pytest.mark.parametrize("form", ["{} CHF", "CHF {}", "1'{}", "{}%"])
def test_amounts_in_another_form_are_no_categories(tmp_path: Path, form: str) -> None:
    cells = [form.format(f"{n}.50") for n in range(100, 110)]
    path = write("x;y\n" + "".join(f"{cell};\n" for cell in cells), tmp_path / "a")
    with pytest.raises(DatasetError, match=r"line 2: column .x. holds .*another form; fix: "):
        scan_statistics([path], {"x": None})


@pytest.mark.parametrize("cell", ["oops", "12.50 CHF", "1_000", "007"])
def test_one_value_does_not_change_the_kind_of_a_column(tmp_path: Path, cell: str) -> None:
    path = write("x;y\n" + "1.5;\n" * 40 + f"{cell};\n", tmp_path / "a")
    with pytest.raises(DatasetError) as caught:
        scan_statistics([path], {"x": None})
    assert str(caught.value) == (
        f"{path}, line 42: column 'x' holds {cell!r}, which is no number, unlike 40 of 41 values; "
        'fix: declare the feature: "feature_types": {"x": "categorical" or "numerical"}'
    )
