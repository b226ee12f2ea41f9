"""The sources of transactions, on real files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transak_drift.config.sections import CsvFormat
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.file_transactions import FileTransactions
from transak_drift.local.transaction_generator import (
    GeneratedTransactions,
    GeneratorSettings,
    generate_day,
)
from transak_drift_tests.windows import day_window

DAY = date(2026, 1, 2)
HEADER = "description,type\n"


def written(
    source: FileTransactions | GeneratedTransactions, day: date, directory: Path
) -> list[Mapping[str, Any]]:
    destination = directory / "out" / "day.parquet"
    rows = source.write_window(day_window(day), destination)
    result = pq.read_table(destination).to_pylist()
    assert rows == len(result)
    assert [path.name for path in destination.parent.iterdir()] == ["day.parquet"]
    return result


def days_of(source: FileTransactions) -> list[date]:
    return [window.first_day for window in source.windows()]


def write_parquet(path: Path, **columns: Sequence[Any] | pa.Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_generated_days_are_unbounded_and_written_whole(tmp_path: Path) -> None:
    generator = GeneratorSettings(seed=9, rows_per_day=50)
    source = GeneratedTransactions(generator)
    assert source.windows() is None
    assert source.write_baseline(tmp_path / "baseline.parquet") is None
    assert written(source, DAY, tmp_path) == generate_day(DAY, generator).to_pylist()


def test_one_file_for_each_day_by_a_placeholder(tmp_path: Path) -> None:
    for day, text in (("2026-01-01", "a,1"), ("2026-01-02", "b,2"), ("2026-13-45", "c,3")):
        (tmp_path / f"bank-{day}.csv").write_text(f"{HEADER}{text}\n")
    source = FileTransactions(str(tmp_path / "bank-{date}.csv"))
    assert days_of(source) == [date(2026, 1, 1), DAY]
    assert written(source, DAY, tmp_path) == [{"description": "b", "type": "2"}]
    # It may repeat, and stand beside a glob.
    for part in "ab":
        path = tmp_path / "2026-01-02" / f"part-{part}-2026-01-02.parquet"
        write_parquet(path, description=[part], type=["x"])
    source = FileTransactions(str(tmp_path / "{date}" / "part-*-{date}.parquet"))
    assert days_of(source) == [DAY]
    assert [row["description"] for row in written(source, DAY, tmp_path)] == ["a", "b"]


def test_names_that_look_like_globs_are_taken_as_they_are(tmp_path: Path) -> None:
    directory = tmp_path / "data [1] it's"
    directory.mkdir()
    (directory / "2026-01-02.csv").write_text(f"{HEADER}a,1\n")
    (directory / "all?.csv").write_text(f"date,{HEADER}2026-01-02,b,2\n")
    for location, expected in (
        (directory / "{date}.csv", "a"),
        (directory, "a"),
        (directory / "all?.csv", "b"),
    ):
        source = FileTransactions(str(location))
        assert days_of(source) == [DAY]
        assert written(source, DAY, tmp_path)[0]["description"] == expected


def test_a_directory_of_days_with_its_baseline(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_parquet(data / "2026-01-01.parquet", description=["p"], type=["1"])
    (data / "2026-01-02.csv").write_text(f"{HEADER}c,2\n")
    with gzip.open(data / "2026-01-03.csv.gz", "wt") as file:
        file.write(f"{HEADER}z,3\n")
    write_parquet(data / "date=2026-01-04" / "0.parquet", description=["h"], type=["4"])
    write_parquet(data / "date=2026-01-04" / "1.parquet", description=["i"], type=["4"])
    (data / "date=2026-01-05").mkdir()
    (data / "Baseline.CSV").write_text(f"{HEADER}base,0\nbase,1\n")
    (data / "README.txt").write_text("not transactions")
    source = FileTransactions(str(data))
    days = [date(2026, 1, n) for n in (1, 2, 3, 4)]
    assert days_of(source) == days
    texts = ["".join(row["description"] for row in written(source, d, tmp_path)) for d in days]
    assert texts == ["p", "c", "z", "hi"]
    assert source.write_baseline(tmp_path / "baseline.parquet") == 2
    assert pq.read_table(tmp_path / "baseline.parquet").column("type").to_pylist() == ["0", "1"]


def test_a_baseline_may_be_missing_but_not_empty(tmp_path: Path) -> None:
    (tmp_path / "2026-01-02.csv").write_text(f"{HEADER}a,1\n")
    assert FileTransactions(str(tmp_path)).write_baseline(tmp_path / "b.parquet") is None
    (tmp_path / "baseline.csv").write_text(HEADER)
    with pytest.raises(DatasetError, match="has no rows"):
        FileTransactions(str(tmp_path)).write_baseline(tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


MOMENTS = [datetime(2026, 1, 1, 23, 59, 59), datetime(2026, 1, 2), datetime(2026, 1, 2, 12)]


@pytest.mark.parametrize(
    "dates",
    [
        pa.array([date(2026, 1, 1), DAY, DAY]),
        pa.array(MOMENTS, pa.timestamp("us")),
        pa.array(MOMENTS, pa.timestamp("ns")),
        # The day is that of UTC, and so is the zone that is kept.
        pa.array(MOMENTS, pa.timestamp("ns", "Europe/Zurich")),
        pa.array(["2026-01-01", "2026-01-02", " 2026-01-02T23:59:59+01:00 "]),
    ],
    ids=lambda dates: str(dates.type),
)
def test_rows_are_chosen_by_the_day_in_their_date_column(tmp_path: Path, dates: pa.Array) -> None:
    columns = {"description": ["a", "b", "c"], "type": ["1", "2", "3"]}
    write_parquet(tmp_path / "all.parquet", booked=dates, **columns)
    source = FileTransactions(str(tmp_path / "all.parquet"), date_column="booked")
    assert days_of(source) == [date(2026, 1, 1), DAY]
    assert [row["description"] for row in written(source, DAY, tmp_path)] == ["b", "c"]
    kept = pq.read_table(tmp_path / "out" / "day.parquet").column("booked")
    assert kept.to_pylist() == dates.to_pylist()[1:]
    assert kept.type in (dates.type, pa.timestamp("ns", "UTC"))


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    columns = {
        "description": pa.array(["a", None]),
        "type": pa.array([7, None], pa.int16()),
        "amount": pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)),
        "rate": pa.array([float("nan"), None], pa.float32()),
        "flag": pa.array([True, None]),
    }
    write_parquet(tmp_path / "2026-01-02.parquet", **columns)
    FileTransactions(str(tmp_path)).write_window(day_window(DAY), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    for name, column in columns.items():
        assert table.column(name).type == column.type
        assert str(table.column(name).to_pylist()) == str(column.to_pylist())


def test_files_with_other_columns_and_kinds_are_joined_by_name(tmp_path: Path) -> None:
    (tmp_path / "x1.csv").write_text("date,description,type,amount\n2026-01-02,a,01,1\n")
    (tmp_path / "x2.csv").write_text("type|extra|description|date\n02|e|b|2026-01-02\n")
    write_parquet(tmp_path / "x3.parquet", date=[DAY], description=["c"], type=["03"], amount=[3.0])
    rows = written(FileTransactions(str(tmp_path / "x*")), DAY, tmp_path)
    assert sorted((r["description"], r["type"], r["amount"], r["extra"]) for r in rows) == [
        ("a", "01", "1", None),
        ("b", "02", None, "e"),
        ("c", "03", "3.0", None),
    ]


texts = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([date(2026, 1, 1), DAY]), texts, texts), min_size=1, max_size=20
    )
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_of_a_file_comes_out_on_its_day_unchanged(
    tmp_path: Path, rows: list[tuple[date, str | None, str | None]]
) -> None:
    days, descriptions, types = zip(*rows, strict=True)
    text = pa.string()
    columns = [pa.array(days), pa.array(descriptions, text), pa.array(types, text)]
    table = pa.table(columns, ["date", "description", "type"])
    pq.write_table(table, tmp_path / "all.parquet")
    pa_csv.write_csv(table, tmp_path / "all.csv")
    # An empty cell of CSV is null.
    in_csv = [(day, one or None, two or None) for day, one, two in rows]
    for name, expected in (("all.parquet", rows), ("all.csv", in_csv)):
        source = FileTransactions(str(tmp_path / name))
        found = [
            (date.fromisoformat(str(row["date"])), row["description"], row["type"])
            for day in days_of(source)
            for row in written(source, day, tmp_path)
        ]
        assert found == sorted(expected, key=lambda row: row[0])


def error_of(location: Path | str, directory: Path, **options: Any) -> str:
    destination = directory / "refused.parquet"
    with pytest.raises(DatasetError) as caught:
        FileTransactions(str(location), **options).write_window(day_window(DAY), destination)
    assert not destination.exists()
    assert not list(directory.glob("*.temporary"))
    message = str(caught.value)
    assert message.startswith(f"transactions = {str(location)!r}: ")
    assert "; fix: " in message
    return message


def test_data_that_tell_no_day_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(f"{HEADER}a,1\n")
    message = error_of(tmp_path / "all.csv", tmp_path)
    for way_out in ("date_column", "{date}", "directory", "transak-drift compare BASELINE TARGET"):
        assert way_out in message
    write_parquet(tmp_path / "all.parquet", date=[20260102], description=["a"], type=["1"])
    message = error_of(tmp_path / "all.parquet", tmp_path)
    assert "column 'date' of type BIGINT, which is no day" in message


def test_a_row_without_a_day_is_refused_not_lost(tmp_path: Path) -> None:
    for cell in ("31.12.2025", "2026-02-30", "", "infinity", "2026-01-02x"):
        (tmp_path / "all.csv").write_text(f"date,{HEADER}2026-01-02,a,1\n{cell},b,2\n")
        message = error_of(tmp_path / "all.csv", tmp_path)
        assert f"{tmp_path / 'all.csv'}, line 3: column 'date' holds {cell or None!r}" in message
        with pytest.raises(DatasetError) as caught:
            FileTransactions(str(tmp_path / "all.csv")).windows()
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("2026-01-02.csv", b"", "has no header line"),
        ("2026-01-02.csv", b"description,type,Type\na,1,2\n", "'type' and 'Type'"),
        ("2026-01-02.csv", b"description,type,\na,1,2\n", "a column without a name"),
        ("2026-01-02.csv", b"description,type\na\n", "line 2: 'a' has 1 field(s), the header 2"),
        (
            "2026-01-02.csv",
            b'description,type\n"a,1\n',
            "line 2: a field in double quotes does not end well",
        ),
        ("2026-01-02.csv", "description,type\nZürich,1\n".encode("latin-1"), "is not utf-8"),
        ("2026-01-02.csv.gz", b"description,type\na,1\n", "cannot be read"),
        ("2026-01-02.parquet", b"description,type\na,1\n", "is no readable Parquet file"),
    ],
)
def test_a_damaged_file_is_refused_with_its_fault(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected in error_of(tmp_path, tmp_path)


def test_a_day_without_rows_is_a_day_without_bookings(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01.csv").write_text(f"{HEADER}a,1\n")
    (tmp_path / "2026-01-02.csv").write_text(HEADER)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "all.csv").write_text(f"date,{HEADER}2026-01-01,a,1\n2026-01-04,a,1\n")
    for location in (tmp_path, tmp_path / "all" / "all.csv"):
        source = FileTransactions(str(location))
        for day in (DAY, date(2026, 1, 3)):
            assert written(source, day, tmp_path) == []
            schema = pq.read_schema(tmp_path / "out" / "day.parquet")
            assert {"description", "type"} <= set(schema.names)
        # Before the first day, and a weekday after the last, which may only be late.
        for day in (date(2025, 12, 31), date(2026, 1, 5)):
            with pytest.raises(DatasetError, match=rf"{day} .days 2026-01-01 to"):
                source.write_window(day_window(day), tmp_path / "refused.parquet")
            assert not (tmp_path / "refused.parquet").exists()
    (tmp_path / "all" / "all.csv").write_text(f"date,{HEADER}")
    with pytest.raises(DatasetError, match="no day is"):
        FileTransactions(str(tmp_path / "all" / "all.csv")).write_window(
            day_window(DAY), tmp_path / "no.parquet"
        )


def test_places_that_are_no_transactions_and_days_in_two_files_are_refused(
    tmp_path: Path,
) -> None:
    assert "has no file named by a day, week or month" in error_of(tmp_path, tmp_path)
    assert "no file matches" in error_of(tmp_path / "{date}.csv", tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert "neither Parquet nor CSV" in error_of(tmp_path / "notes.txt", tmp_path)
    (tmp_path / "2026-01-02.csv").write_text(f"{HEADER}a,1\n")
    write_parquet(tmp_path / "date=2026-01-02" / "0.parquet", description=["a"], type=["1"])
    message = error_of(tmp_path, tmp_path)
    for told in ("has 2026-01-02 twice", "0.parquet", "2026-01-02.csv"):
        assert told in message


def test_days_in_the_form_that_the_configuration_gives(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(f"date,{HEADER}20.11.2026,a,1\n 1.12.2026 ,b,2\n")
    with pytest.raises(DatasetError, match=r"line 2: column 'date' .*\"date_format\": "):
        FileTransactions(str(tmp_path / "all.csv")).write_window(
            day_window(DAY), tmp_path / "no.parquet"
        )
    csv_format = CsvFormat(date_format="%d.%m.%Y")
    source = FileTransactions(str(tmp_path / "all.csv"), csv_format=csv_format)
    assert days_of(source) == [date(2026, 11, 20), date(2026, 12, 1)]
    assert [row["description"] for row in written(source, date(2026, 12, 1), tmp_path)] == ["b"]


@pytest.mark.parametrize(
    ("encoding", "line_ends"),
    [
        ("utf-8", ("\n", "\n", "\n")),
        ("utf-8-sig", ("\r\n", "\r\n", "\r\n")),
        ("windows-1252", ("\r\n", "\n", "\r\n")),
        ("utf-16", ("\n", "\r\n", "\n")),
        ("cp850", ("\r", "\r", "\r")),
    ],
)
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, line_ends: tuple[str, ...]) -> None:
    lines = ["description;type", 'Bäckerei;"a\nb"', "Zürich;2"]
    text = "".join(line + end for line, end in zip(lines, line_ends, strict=True))
    (tmp_path / "2026-01-02.CSV").write_bytes(text.encode(encoding))
    (tmp_path / "._2026-01-02.csv").write_bytes(b"\0\5\x16\7 of another system")
    csv_format = CsvFormat(encoding=encoding, separator=";")
    assert written(FileTransactions(str(tmp_path), csv_format=csv_format), DAY, tmp_path) == [
        {"description": "Bäckerei", "type": "a\nb"},
        {"description": "Zürich", "type": "2"},
    ]


def test_an_encoding_that_is_wrong_in_the_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2026-01-02.csv").write_text(f"{HEADER}Zürich,1\n", encoding="utf-8")
    message = error_of(tmp_path, tmp_path, csv_format=CsvFormat(encoding="utf-16"))
    assert "is not utf-16; fix: name the encoding, such as " in message
    assert '"encoding": "utf-8"' in message
