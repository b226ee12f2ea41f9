"""A value is the same text, or number, in files and columns of any type."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import CategoricalStatistics, FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.dataset_statistics import scan_statistics

KINDS: dict[str, FeatureKind | None] = {"x": FeatureKind.CATEGORICAL}


DAYS = [date(2026, 1, 31), None, date(2026, 2, 28), date(2026, 1, 31)]
MIDNIGHTS = [day and datetime(day.year, day.month, day.day) for day in DAYS]
MOMENTS = [datetime(2026, 1, 31, 9, 30), datetime(2026, 1, 31), datetime(2026, 1, 31, 1, 2, 3, 4)]
MOMENTS_IN_UTC = [moment.replace(tzinfo=UTC) for moment in MOMENTS]
ACCOUNTS = [1234567890123456, 9007199254740992, 1234567890123456, 7]
EXACT = [Decimal("1.5"), Decimal(2), Decimal("-0.25"), None, Decimal("1e-7"), Decimal("1.50")]
# What is counted, and columns of Parquet or whole files of CSV that say so.
FORMS: dict[str, tuple[CategoricalStatistics, list[pa.Array | str]]] = {
    "text and bytes": (
        CategoricalStatistics({"Bäckerei": 2, "bäckerei": 1}, missing=2),
        [
            pa.array(["Bäckerei", "bäckerei", "", None, "Bäckerei"]),
            pa.array(["Bäckerei".encode(), "bäckerei".encode(), b"", None, "Bäckerei".encode()]),
            pa.array(["Bäckerei", "bäckerei", None, None, "Bäckerei"]).dictionary_encode(),
        ],
    ),
    "booleans": (
        CategoricalStatistics({"true": 2, "false": 1}, missing=1),
        [
            pa.array([True, False, None, True]),
            "x\nTrue\nFALSE\n\ntrue\n",
        ],
    ),
    "accounts": (
        CategoricalStatistics({"1234567890123456": 2, "9007199254740992": 1, "7": 1}),
        [
            pa.array(ACCOUNTS),
            pa.array(ACCOUNTS, pa.float64()),
            pa.array([str(account) for account in ACCOUNTS]),
            pa.array([Decimal(account) for account in ACCOUNTS]),
            pa.array(ACCOUNTS, pa.uint64()),
        ],
    ),
    "greatest integer": (
        CategoricalStatistics({"18446744073709551615": 1}),
        [pa.array([2**64 - 1], pa.uint64()), "x\n18446744073709551615\n"],
    ),
    "floats and decimals": (
        CategoricalStatistics({"1.5": 2, "2": 1, "-0.25": 1, "0.0000001": 1}, missing=1),
        [
            pa.array([1.5, 2.0, -0.25, None, 1e-7, 1.5]),
            pa.array(EXACT, pa.decimal128(18, 9)),
            "x\n1.50\n2.0\n-.25\n\n1e-07\n1.5\n",
        ],
    ),
    "zero": (
        CategoricalStatistics({"0": 1, "0.5": 1}),
        [pa.array([-0.0, 0.5]), pa.array([Decimal(0), Decimal("0.5")], pa.decimal128(9, 2))],
    ),
    "odd floats": (
        CategoricalStatistics({"1e+300": 1, "nan": 1, "-inf": 1}, missing=1),
        [
            pa.array([1e300, float("nan"), float("-inf"), None]),
            pa.array(["1e+300", "nan", "-inf", None]),
        ],
    ),
    "single precision": (
        CategoricalStatistics({"0.1": 1, "2.5": 1, "16777216": 1}),
        [pa.array([0.1, 2.5, 16777216.0], pa.float32()), pa.array(["0.1", "2.5", "16777216"])],
    ),
    "days and midnights": (
        CategoricalStatistics({"2026-01-31": 2, "2026-02-28": 1}, missing=1),
        [
            pa.array(DAYS, pa.date32()),
            pa.array(MIDNIGHTS, pa.timestamp("s")),
            pa.array(MIDNIGHTS, pa.timestamp("ns")),
            pa.array(MIDNIGHTS, pa.timestamp("us", "UTC")),
            "x\n2026-01-31\n\n2026-02-28 00:00:00\n2026-01-31T00:00:00Z\n",
        ],
    ),
    "moments": (
        CategoricalStatistics(
            {"2026-01-31 09:30:00": 1, "2026-01-31": 1, "2026-01-31 01:02:03.000004": 1}
        ),
        [
            pa.array(MOMENTS, pa.timestamp("us")),
            pa.array(MOMENTS, pa.timestamp("ns")),
            pa.array(MOMENTS_IN_UTC, pa.timestamp("us", "Europe/Zurich")),
            pa.array(MOMENTS_IN_UTC, pa.timestamp("ns", "UTC")),
            "x\n2026-01-31T09:30\n2026-01-31\n2026-01-31 02:02:03.000004+01:00\n",
        ],
    ),
    "missing": (
        CategoricalStatistics({"a": 1}, missing=2),
        [
            pa.array(["a", "", None]),
            pa.array([b"a", None, b""]),
            'x\na\n""\n\n',
            'y,x\n1,a\n2,""\n3,\n',
        ],
    ),
    "nothing": (CategoricalStatistics({}, missing=2), [pa.nulls(2), "y,x\n1,\n2,\n"]),
}


def write(content: pa.Array | str, path: Path) -> Path:
    if isinstance(content, str):
        path = path.with_suffix(".csv")
        path.write_text(content, encoding="utf-8")
    else:
        path = path.with_suffix(".parquet")
        pq.write_table(pa.table({"x": content}), path)
    return path


@pytest.mark.parametrize(("expected", "forms"), FORMS.values(), ids=FORMS)
def test_a_value_has_one_text_in_any_form(
    tmp_path: Path, expected: CategoricalStatistics, forms: list[pa.Array | str]
) -> None:
    paths = [write(content, tmp_path / str(n)) for n, content in enumerate(forms)]
    for path in paths:
        assert scan_statistics([path], KINDS).features["x"] == expected, path
    # Files of several types are one dataset, too.
    counts = {value: count * len(forms) for value, count in expected.counts.items()}
    whole = CategoricalStatistics(counts, expected.missing * len(forms))
    assert scan_statistics(paths, KINDS).features["x"] == whole


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
    numbers = write(pa.array([193.21, 1234.5, -7.0, None]), tmp_path / "a")
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
