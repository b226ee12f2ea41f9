"""The user's own transactions by day, week and month, as they lie there."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transak_drift.config.data_source import fill_placeholders
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar, WindowLength
from transak_drift.config.sections import CsvFormat
from transak_drift.local.dataset_files import DatasetError, find_transactions
from transak_drift.local.file_transactions import (
    FileTransactions,
    check_transactions,
    complete_config,
)
from transak_drift_tests.config.configurations import configuration

HEADER = "description,type"
MONTHS, WEEKS, DAYS = WindowCalendar("month"), WindowCalendar("week"), WindowCalendar("day")


def write(path: Path, *texts: str, header: str = HEADER, more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(f"{text},x{more}" for text in texts)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"description": texts, "type": ["x"] * len(texts)}), path)
    else:
        path.write_text("\n".join(lines) + "\n")
    return path


def written(source: FileTransactions, window: Window, directory: Path) -> list[str]:
    destination = directory / "written" / "window.parquet"
    rows = source.write_window(window, destination)
    found = pq.read_table(destination).column("description").to_pylist()
    assert rows == len(found)
    return found


def keys_of(source: FileTransactions) -> list[str]:
    return [window.key for window in source.windows()]


def test_a_directory_of_months(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "2026-05.csv", "a", "b")
    write(data / "202606.csv", "c")
    write(data / "month=202607" / "0.csv", "d")
    write(data / "month=202607" / "1.parquet", "e")
    write(data / "month=2026-09" / "0.parquet", "f")
    write(data / "baseline.csv", "base")
    write(data / "month=2026-13" / "0.csv", "no month")
    source = FileTransactions(str(data), calendar=MONTHS)
    assert keys_of(source) == ["2026-05", "2026-06", "2026-07", "2026-09"]
    texts = ["".join(written(source, MONTHS.parse(f"2026-0{n}"), tmp_path)) for n in range(5, 10)]
    assert texts == ["ab", "c", "de", "", "f"]
    assert source.write_baseline(tmp_path / "baseline.parquet") == 1
    for month in ("2026-04", "2026-10"):
        with pytest.raises(DatasetError) as caught:
            written(source, MONTHS.parse(month), tmp_path)
        assert f"has no transactions of {month} (days 2026-05-01 to 2026-09-30 are" in str(
            caught.value
        )
        assert "fix: add that month's transactions" in str(caught.value)


def test_a_directory_of_weeks(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "2026-W35.csv", "a")
    write(data / "2026-w36.parquet", "b")
    write(data / "week=2026-W37" / "0.csv", "c")
    write(data / "week=2026-09-14" / "0.csv", "d")
    source = FileTransactions(str(data), calendar=WEEKS)
    mondays = ["2026-08-24", "2026-08-31", "2026-09-07", "2026-09-14"]
    assert keys_of(source) == mondays
    assert [written(source, WEEKS.parse(day), tmp_path) for day in mondays] == [*map(list, "abcd")]
    # Files that are named by Mondays are found by them as well.
    for monday, text in zip(mondays, "abcd", strict=True):
        write(tmp_path / "mondays" / f"{monday}.csv", text)
    source = FileTransactions(str(tmp_path / "mondays"), calendar=WEEKS)
    assert keys_of(source) == mondays
    assert written(source, WEEKS.parse("2026-W36"), tmp_path) == ["b"]


def test_files_of_days_are_joined_to_weeks_and_months(tmp_path: Path) -> None:
    for day, text in (("2026-08-30", "a"), ("2026-08-31", "b"), ("2026-09-01", "c")):
        write(tmp_path / "data" / f"{day}.csv", text)
    for location in (tmp_path / "data", tmp_path / "data" / "{date}.csv"):
        source = FileTransactions(str(location), calendar=MONTHS)
        assert keys_of(source) == ["2026-08", "2026-09"]
        assert written(source, MONTHS.parse("2026-08"), tmp_path) == ["a", "b"]
        source = FileTransactions(str(location), calendar=WEEKS)
        assert written(source, WEEKS.parse("2026-W36"), tmp_path) == ["b", "c"]


@given(
    form=st.sampled_from(
        [
            "bank-{yyyymm}.csv",
            "{date:%Y%m}.csv",
            "{date:%Y}/bank {date:%m}.csv",
            "{date:%Y/%m}/all.csv",
            "{date:%b}-{date:%y}.csv",
            "[x] {yyyymm}-{yyyymm}?.csv",
            "{first_day}..{last_day}.csv",
            "{date:%G-W%V}/x.csv",
            "{first_day}.csv",
            "a/{date:%j}-{date:%Y}.csv",
            "{date}.csv",
        ]
    ),
    days=st.sets(st.dates(date(1971, 1, 1), date(2060, 12, 31)), min_size=1, max_size=5),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_path_with_placeholders_finds_what_it_is_filled_with(
    tmp_path_factory: pytest.TempPathFactory, form: str, days: set[date]
) -> None:
    weekly = "%V" in form or form == "{first_day}.csv"
    calendar = DAYS if form in ("{date}.csv", "a/{date:%j}-{date:%Y}.csv") else MONTHS
    calendar = WEEKS if weekly else calendar
    directory = tmp_path_factory.mktemp("placeholders")
    windows = sorted({calendar.of_day(day) for day in days})
    for window in windows:
        path = write(directory / fill_placeholders(form, window), window.key)
        # Each form also finds nothing that it is not filled with.
        write(path.with_name(f"not-{path.name}"), "other")
    source = FileTransactions(str(directory / form), calendar=calendar)
    assert source.windows() == windows
    for window in windows:
        assert written(source, window, directory) == [window.key]


def test_placeholders_beside_wildcards(tmp_path: Path) -> None:
    for path in ("a/b/part-1-202608.csv", "a/part-2-202608.csv", "a/x-3-202608.csv"):
        write(tmp_path / path, path)
    source = FileTransactions(str(tmp_path / "**" / "part-[!3]*-{yyyymm}.csv"), calendar=MONTHS)
    assert keys_of(source) == ["2026-08"]
    found = written(source, MONTHS.parse("2026-08"), tmp_path)
    assert found == ["a/b/part-1-202608.csv", "a/part-2-202608.csv"]


@pytest.mark.parametrize(
    ("names", "location", "calendar", "problem", "fix"),
    [
        (["2026-08.csv"], "", DAYS, "2026-08.csv is of a whole month, but monitoring_window is day",
         "set monitoring_window to month, or, if a date column tells the days, name the files by "),
        (["2026-W35.csv"], "", MONTHS, "is of a whole week, but monitoring_window is month",
         "set monitoring_window to week"),
        (["2026-08.csv"], "", WEEKS, "is of a whole month, but monitoring_window is week", "month"),
        (["202608.csv"], "{yyyymm}.csv", DAYS, "is of a whole month, but", "to month"),
        (["2026-08.csv", "2026-08-01.csv"], "", MONTHS, "has files of several lengths",
         "keep those of days, weeks and months in different directories"),
        (["2026-08.csv", "202608.csv"], "", MONTHS, "has 2026-08 twice", "keep one of them"),
        (["2026-08.csv"], "{month}.csv", MONTHS, "has the unknown placeholder {month}",
         "known here: {date}, {first_day}, {last_day}, {yyyymm}"),
        (["2026-08.csv"], "{yyyymm.csv", MONTHS, "has a brace without its partner", "{yyyymm}"),
        (["2026.csv"], "{date:%Y}.csv", MONTHS, "name no day, week or month with its", "{yyyymm}"),
        (["08.csv"], "{date:%m}.csv", MONTHS, "name no day, week or month with its", "{yyyymm}"),
        (["x.csv"], "{yyyymm}.csv", MONTHS, "no file matches", "{yyyymm}, one file for each"),
        (["x.csv"], "", MONTHS, "x.csv has no column 'date' with the day", "2026-08.csv"),
    ],
)  # fmt: skip
def test_names_and_windows_that_do_not_go_together_are_refused(
    tmp_path: Path,
    names: list[str],
    location: str,
    calendar: WindowCalendar,
    problem: str,
    fix: str,
) -> None:
    for name in names:
        write(tmp_path / name, "a")
    with pytest.raises(DatasetError) as caught:
        FileTransactions(str(tmp_path / location), calendar=calendar).windows()
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def by_month(path: Path, **options: Any) -> FileTransactions:
    options = {"calendar": MONTHS, "date_column_format": "yyyymm"} | options
    return FileTransactions(str(path), date_column="month", **options)


@pytest.mark.parametrize(
    "months",
    [
        pa.array([202607, 202608, 202608], pa.int64()),
        pa.array([202607, 202608, 202608], pa.uint32()),
        pa.array([202607.0, 202608.0, 202608.0]),
        pa.array(["202607", " 202608 ", "202608"]),
    ],
    ids=lambda months: str(months.type),
)
def test_rows_are_chosen_by_a_column_of_months(tmp_path: Path, months: pa.Array) -> None:
    table = pa.table({"description": ["a", "b", "c"], "type": ["1", "2", "3"], "month": months})
    pq.write_table(table, tmp_path / "all.parquet")
    lines = [f"{text},x,{month}" for text, month in zip("abc", months.to_pylist(), strict=True)]
    (tmp_path / "all.csv").write_text("\n".join([f"{HEADER},month", *lines]))
    for name in ("all.parquet", "all.csv"):
        source = by_month(tmp_path / name)
        assert keys_of(source) == ["2026-07", "2026-08"]
        assert written(source, MONTHS.parse("2026-08"), tmp_path) == ["b", "c"]
        kept = pq.read_table(tmp_path / "written" / "window.parquet").column("month")
        assert [str(value) for value in kept.to_pylist()] == [
            str(value) for value in months.to_pylist()[1:]
        ]


@pytest.mark.parametrize(
    "cell", ["202613", "20268", "2026-08", "", "202600", "2026081", "202608.5", "000012", "999912"]
)
def test_a_value_that_is_no_month_is_named_with_file_and_line(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "all.csv"
    path.write_text(f"{HEADER},month\na,x,202608\nb,x,{cell}\n")
    for act in (
        by_month(path).windows,
        lambda: written(by_month(path), MONTHS.parse("2026-08"), tmp_path),
    ):
        with pytest.raises(DatasetError) as caught:
            act()
        shown = repr(cell or None)
        problem = f"{path}, line 3: column 'month' holds {shown}, which is no month"
        assert caught.value.problem == problem
        assert caught.value.fix == "write months as YYYYMM, such as 202608, in every row"


@pytest.mark.parametrize("length", ["day", "week", "month"])
@pytest.mark.parametrize("day", [date(1, 1, 1), date(9999, 12, 31)], ids=str)
def test_a_day_that_stands_for_none_is_named_with_file_and_row(
    tmp_path: Path, day: date, length: WindowLength
) -> None:
    column = pa.array([date(2026, 8, 27), day], pa.date32())
    columns = {"description": ["a", "b"], "type": ["x", "x"], "date": column}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for start in ({}, {"start_date": "2026-08-01"}):
        path = str(tmp_path / "a.parquet")
        config = configuration(transactions=path, monitoring_window=length, **start)
        with pytest.raises(DatasetError, match=rf"row 2: .*'{day}', which is no day; fix: .*9998"):
            check_transactions(config)
    # Files that are named so are others than those of windows.
    write(tmp_path / "months" / "2026-08.csv", "a")
    write(tmp_path / "months" / f"{str(day)[:7]}.csv", "b")
    for location in ("months", "months/{date:%Y-%m}.csv"):
        source = FileTransactions(str(tmp_path / location), calendar=MONTHS)
        assert keys_of(source) == ["2026-08"]


def test_a_column_of_another_type_than_configured_is_refused_with_the_setting(
    tmp_path: Path,
) -> None:
    columns = {"description": ["a"], "type": ["x"]}
    pq.write_table(pa.table(columns | {"month": [202608]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"BIGINT, which is no day; fix: .*yyyymm"):
        by_month(tmp_path / "a.parquet", date_column_format="date").windows()
    pq.write_table(pa.table(columns | {"month": [date(2026, 8, 1)]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"DATE, which is no month; fix: remove .date_column_f"):
        by_month(tmp_path / "a.parquet").windows()
    write(tmp_path / "a.csv", "a", header=f"{HEADER},month", more=",202608")
    with pytest.raises(DatasetError, match=r"line 2: .*'202608', which is no day; fix: .*yyyymm"):
        by_month(tmp_path / "a.csv", date_column_format="date").windows()


# Summer time in Zurich: from 2026-03-29T01:00Z to 2026-10-25T01:00Z.
MOMENTS = {
    "2026-03-28T22:59:59Z": "2026-03-28",
    "2026-03-28T23:00:00Z": "2026-03-29",
    "2026-03-28T23:30:00Z": "2026-03-29",
    "2026-03-29T21:59:59Z": "2026-03-29",
    "2026-03-29T22:00:00Z": "2026-03-30",
    "2026-03-31T22:00:00Z": "2026-04-01",
    "2026-10-24T21:59:59Z": "2026-10-24",
    "2026-10-24T22:00:00Z": "2026-10-25",
    "2026-10-25T22:59:59Z": "2026-10-25",
    "2026-10-25T23:00:00Z": "2026-10-26",
    "2026-10-31T23:00:00Z": "2026-11-01",
}


@pytest.mark.parametrize("unit", ["us", "ns", "text", "offset", "utc", "date_format"])
def test_moments_are_of_the_local_day_across_summer_time(tmp_path: Path, unit: str) -> None:
    moments = [datetime.fromisoformat(text) for text in MOMENTS]
    path, csv_format = tmp_path / "all.csv", CsvFormat()
    if unit in ("us", "ns"):
        path = tmp_path / "all.parquet"
        column = pa.array(moments, pa.timestamp(unit, "UTC"))
        texts = list(MOMENTS)
        pq.write_table(pa.table({"description": texts, "type": texts, "date": column}), path)
    else:
        shown = {
            "text": list(MOMENTS),
            "offset": [f"{moment:%Y-%m-%d %H:%M}+00:00" for moment in moments],
            "utc": [f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in moments],
            "date_format": [f"{moment:%d.%m.%Y %H:%M:%S} +0000" for moment in moments],
        }[unit]
        if unit == "date_format":
            csv_format = CsvFormat(date_format="%d.%m.%Y %H:%M:%S %z")
        lines = [f"{text},x,{cell}" for text, cell in zip(MOMENTS, shown, strict=True)]
        path.write_text("\n".join([f"{HEADER},date", *lines]))
    for length in ("day", "week", "month"):
        calendar = WindowCalendar(length, "Europe/Zurich")
        expected: dict[Window, list[str]] = {}
        for text, day in MOMENTS.items():
            window = calendar.of_day(date.fromisoformat(day))
            assert window == calendar.of_moment(datetime.fromisoformat(text))
            expected.setdefault(window, []).append(text)
        source = FileTransactions(str(path), calendar=calendar, csv_format=csv_format)
        assert source.windows() == list(expected)
        for window, texts in expected.items():
            assert written(source, window, tmp_path) == texts


def test_moments_without_a_time_zone_are_of_the_day_that_they_say(tmp_path: Path) -> None:
    naive = datetime(2026, 8, 31, 23, 59)
    columns = {"description": ["a"], "type": ["x"], "date": pa.array([naive], pa.timestamp("us"))}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    write(tmp_path / "a.csv", "a", header=f"{HEADER},date", more=",2026-08-31T23:59")
    for name in ("a.parquet", "a.csv"):
        for zone in ("Europe/Zurich", "Pacific/Kiritimati", "UTC"):
            source = FileTransactions(str(tmp_path / name), calendar=WindowCalendar("day", zone))
            assert keys_of(source) == ["2026-08-31"]


def completed(location: Path | str, **changes: Any) -> MonitoringConfig:
    return complete_config(configuration(transactions=str(location), **changes))


def test_what_is_not_set_is_taken_from_the_files(tmp_path: Path) -> None:
    for month in ("2026-05", "2026-06"):
        write(tmp_path / "months" / f"{month}.csv", "a")
    write(tmp_path / "weeks" / "2026-W35.csv", "a")
    write(tmp_path / "days" / "2026-08-24.csv", "a")
    for number, month in enumerate((202604, 202605)):
        path = tmp_path / "export" / f"export_{number}.csv"
        write(path, "a", header=f"{HEADER},month", more=f",{month}")
    write(tmp_path / "booked.csv", "a", header=f"{HEADER},month,date", more=",5,2026-05-02")

    def taken(location: Path | str, **changes: Any) -> tuple[Any, ...]:
        config = completed(location, **changes)
        assert config.windows.length == config.monitoring_window
        return (
            config.monitoring_window,
            str(config.start_date),
            config.maximum_training_days,
            config.date_column,
            config.date_column_format,
        )

    of_month = ("month", "2026-05-01", 184, "date", "date")
    assert taken(tmp_path / "months") == of_month
    assert taken(tmp_path / "months" / "{date:%Y-%m}.csv") == of_month
    kept = taken(tmp_path / "months", start_date="2026-05-20", maximum_training_days=31)
    assert kept == ("month", "2026-05-20", 31, "date", "date")
    assert taken(tmp_path / "weeks") == ("week", "2026-08-24", 56, "date", "date")
    assert taken(tmp_path / "days") == ("day", "2026-08-24", 28, "date", "date")
    assert taken(tmp_path / "days", monitoring_window="month")[:2] == ("month", "2026-08-01")
    of_column = ("month", "2026-04-01", 184, "month", "yyyymm")
    assert taken(tmp_path / "export") == of_column
    assert taken(tmp_path / "export" / "export_*.csv") == of_column
    assert taken(tmp_path / "booked.csv") == ("day", "2026-05-02", 28, "date", "date")
    for start in ({}, {"start_date": "2026-04-01"}):
        match = "no column 'date' with the day; fix: set monitoring_window, which is week, to month"
        with pytest.raises(DatasetError, match=match):
            taken(tmp_path / "export", monitoring_window="week", **start)
    with pytest.raises(DatasetError, match="no column 'date' with the day"):
        taken(tmp_path / "export", label_column="month")
    write(tmp_path / "empty" / "all.csv", header=f"{HEADER},month")
    with pytest.raises(DatasetError, match="has no rows"):
        taken(tmp_path / "empty")


def test_the_check_of_the_data_tells_the_windows_and_what_is_missing(tmp_path: Path) -> None:
    for month in ("2026-04", "2026-05", "2026-08"):
        write(tmp_path / f"{month}.csv", "a", "b")
    found = check_transactions(configuration(transactions=str(tmp_path)))
    assert found == (
        "3 month(s), 2026-04 to 2026-08 (2 between them without transactions); "
        "description categorical, type categorical"
    )


def test_other_files_of_a_directory_are_passed_over_where_some_are_named_by_windows(
    tmp_path: Path,
) -> None:
    write(tmp_path / "2026-08.csv", "a")
    write(tmp_path / "notes.csv", "b")
    found = find_transactions(str(tmp_path), "month")
    names = Counter(file.name for files in found.by_window.values() for file in files)
    assert (names, found.dated) == ({"2026-08.csv": 1}, ())
