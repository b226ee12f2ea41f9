"""The user's own Parquet or CSV transactions, one window at a time."""

from __future__ import annotations

import calendar
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.config.monitoring_config import DateColumnFormat, MonitoringConfig
from transak_drift.config.monitoring_window import MAX_DAY, MIN_DAY, Window, WindowCalendar
from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.column_checks import raise_for_value
from transak_drift.local.dataset_files import DatasetError, TransactionFiles, find_transactions
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.tabular_files import (
    Column,
    DatasetReader,
    TabularFiles,
    file_state,
    files_state,
    open_reader,
    origin_of,
    sql_name,
    sql_text,
)

_ISO_8601 = r"\s*\d{4}-\d{2}-\d{2}([T ].*)?\s*"
_WITH_OFFSET = r"\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}\S*?(Z|z| UTC|[+-]\d{2}(:?\d{2})?)\s*"
_YYYYMM = r"[1-9]\d{3}(0[1-9]|1[0-2])(\.0+)?"
# A name that no column of the user's has.
_DAY = '"transak_drift day of the row"'
_BY_MONTH = 'set "date_column_format": "yyyymm" and monitoring_window to month'
# Of transactions as they are recorded by month.
_MONTH_COLUMN = "month"


@dataclass(frozen=True, slots=True)
class FileTransactions:
    """Transactions in files of the user's.

    The location is one of:

    - a path with placeholders: one file for each day, week or month, such as `/data/{date}.csv` or
      `/data/{date:%Y/%m}.parquet`;
    - a directory with files named by days, weeks or months: `2026-08-27.parquet`, `2026-W35.csv`,
      `2026-08.csv.gz`, or directories of such files, `date=2026-08-27`, `week=2026-W35`,
      `month=202608`; `baseline.parquet`, `.csv` or `.csv.gz` may lie beside them;
    - a file, a glob or a directory of other files with a date column: rows are chosen by the day
      that stands there (DATE, TIMESTAMP or text), or by the month as a whole number such as 202608.
      A time with a time zone or offset is of the day that it is in the calendar's time zone.

    Every file must have the required columns. Each value is kept as it stands in its file, those of
    CSV as text. What cannot be read as the location says is a DatasetError.
    """

    location: str
    required_columns: tuple[str, ...] = ("description", "type")
    date_column: str = "date"
    csv_format: CsvFormat = field(default_factory=CsvFormat)
    calendar: WindowCalendar = field(default_factory=WindowCalendar)
    date_column_format: DateColumnFormat = "date"
    allows_empty: bool = False

    def windows(self) -> list[Window]:
        """Return the windows that have transactions, ascending."""
        with self._reader() as reader:
            found = self.files()
            days = [window.first_day for window in found.by_window] or self._days(reader, found)
            return sorted({self.calendar.of_day(day) for day in days})

    def _days(self, reader: DatasetReader, found: TransactionFiles) -> list[date]:
        files, query = self._rows(reader, found.dated, with_day=True)
        query = f"SELECT DISTINCT {_DAY} FROM ({query}) ORDER BY 1 NULLS FIRST"
        days = [day for (day,) in reader.connection.execute(query).fetchall()]
        if None in days:
            self._raise_for_no_day(reader, files)
        return days

    def write_window(self, window: Window, destination: Path) -> int:
        """Write a window's transactions to a Parquet file, which appears whole or not at all.

        Returned are its rows; 0 of a window without bookings, such as a Sunday. A DatasetError
        tells that the data begin after the window, or end before it, if it is not a weekend and
        no window may be empty.
        """
        with self._reader() as reader, replace_file(destination) as temporary:
            found = self.files()
            if not found.by_window:
                return self._write(reader, found.dated, temporary, window)
            if files := found.within(window):
                return self._write(reader, files, temporary, None)
            if not self.allows_empty:
                parts = [*found.by_window]
                _require_arrived(window, parts[0].first_day, parts[-1].last_day)
            columns = dict.fromkeys(self.required_columns, pa.array([], pa.string()))
            pq.write_table(pa.table(columns), temporary)
            return 0

    def write_baseline(self, destination: Path) -> int | None:
        """Write the directory's own baseline as `write_window` does; None where it has none."""
        with self._reader() as reader:
            found = self.files()
            if found.baseline is None:
                return None
            with replace_file(destination) as temporary:
                rows = self._write(reader, found.baseline, temporary, None)
                if not rows:
                    problem = f"{found.baseline[0]} has no rows"
                    raise DatasetError(problem, "fill it, or remove it to go without")
                return rows

    def state(self, window: Window) -> str:
        """Return what is another once a window's files are; empty where there are none."""
        try:
            found = self.files()
        except DatasetError:
            # Moved away, or just being replaced.
            return ""
        files = found.within(window) if found.by_window else found.dated
        return files_state({path: file_state(path) for path in files}) if files else ""

    def has_changed(self, window: Window, kept: Path) -> bool:
        """Whether a window's files are others than those that its kept rows came from.

        Files that are gone change nothing, and the baseline is not the window in whose place it is.
        """
        state, origin = self.state(window), origin_of(kept)
        if state in ("", origin.get("state")):
            return False
        return set(origin["sources"]) != {str(path) for path in self.files().baseline or ()}

    def files(self) -> TransactionFiles:
        """Find the files, which must be of the calendar's windows or of parts of them."""
        length = self.calendar.length
        found = find_transactions(self.location, length)
        if found.length in (None, "day", length):
            return found
        window, files = next(iter(found.by_window.items()))
        raise DatasetError(
            f"{files[0]} is of a whole {window.length}, but monitoring_window is {length}",
            f"set monitoring_window to {window.length}, or, if a date column tells the days, name "
            f"the files by a glob such as {files[0].parent / '*'}{files[0].suffix}",
        )

    @contextmanager
    def _reader(self) -> Generator[DatasetReader]:
        """Open a reader, whose errors become errors of the setting."""
        try:
            with open_reader(self.csv_format) as reader:
                yield reader
        except DatasetError as error:
            setting = f"transactions = {self.location!r}: "
            raise DatasetError(error.problem, error.fix, setting) from error

    def _write(
        self, reader: DatasetReader, paths: Sequence[Path], destination: Path, window: Window | None
    ) -> int:
        """Write the rows of files, or of a window in files that have several."""
        files, query = self._rows(reader, paths, with_day=window is not None)
        if window is not None:
            of_window = f"{_DAY} BETWEEN DATE '{window.first_day}' AND DATE '{window.last_day}'"
            ((dateless, first, last, rows),) = reader.connection.execute(
                f"SELECT count(*) - count({_DAY}), min({_DAY}), max({_DAY}), "
                f"count(*) FILTER ({of_window}) FROM ({query})"
            ).fetchall()
            if dateless:
                self._raise_for_no_day(reader, files)
            if not rows and not self.allows_empty:
                _require_arrived(window, first, last)
            query = f"SELECT * EXCLUDE ({_DAY}) FROM ({query}) WHERE {of_window}"
        return reader.write_rows(query, files, destination)

    def _rows(
        self, reader: DatasetReader, paths: Sequence[Path], *, with_day: bool
    ) -> tuple[Sequence[TabularFiles], str]:
        """Open files, and return them with the query of their rows."""
        files = reader.open_files(paths, self.required_columns)
        if not files:
            names = ", ".join(self.required_columns)
            raise DatasetError(f"{paths[0]} has no header line", f"write one with {names}")
        queries = []
        for group in files:
            _require_distinct(group)
            columns = [f"{column.reference} AS {sql_name(column.name)}" for column in group.columns]
            if with_day:
                self.require_days(group)
                columns.append(f"{self.day_of(group.column(self.date_column))} AS {_DAY}")
            queries.append(f"SELECT {', '.join(columns)} FROM {group.relation()}")
        return files, " UNION ALL BY NAME ".join(queries)

    def require_days(self, files: TabularFiles) -> None:
        """Refuse files without a column of days, or months, by their names and types alone."""
        by_month = self.date_column_format == "yyyymm"
        what = "month" if by_month else "day"
        column = next((item for item in files.columns if item.name == self.date_column), None)
        if column is None:
            fix = "name the column (date_column), or split the data by window: a path with {date} "
            fix += "or {yyyymm}, or a directory with files such as 2026-08-27.parquet or "
            fix += "2026-08.csv; to compare two files as they are: transak-drift compare BASELINE "
            fix += "TARGET"
            length = self.calendar.length
            if length != "month" and _MONTH_COLUMN in {item.name for item in files.columns}:
                fix = f"set monitoring_window, which is {length}, to month, if the column month "
                fix += "has months such as 202608; or name a column with the day (date_column)"
            raise DatasetError(
                f"{files.paths[0]} has no column {self.date_column!r} with the {what}", fix
            )
        is_day = column.type_id.startswith(("date", "timestamp"))
        if not column.is_text and not (column.is_number if by_month else is_day):
            fix = "store it as DATE, TIMESTAMP or text YYYY-MM-DD, or name another column "
            fix += f"(date_column); of months such as 202608 {_BY_MONTH}"
            if by_month:
                fix = 'remove "date_column_format": "yyyymm", or name another column (date_column)'
            raise DatasetError(
                f"{files.paths[0]} has the column {column.name!r} of type {column.type_name}, "
                f"which is no {what}",
                fix,
            )

    def _raise_for_no_day(self, reader: DatasetReader, files: Sequence[TabularFiles]) -> None:
        """Raise for the first row without a day: passing over it would lose it without a word."""

        def no_day(column: Column) -> str:
            return f"({self.day_of(column)}) IS NULL"

        problem, fix = "which is no day", "write days as YYYY-MM-DD in every row, or set their form"
        fix += ' in CSV, such as "csv": {"date_format": "%d.%m.%Y"} for 20.11.2026; of months such '
        fix += f"as 202608 {_BY_MONTH}; the years are {MIN_DAY.year} to {MAX_DAY.year}"
        if form := self.csv_format.date_format:
            fix = f'write days as "csv": {{"date_format": "{form}"}} says, in every row'
        if self.date_column_format == "yyyymm":
            problem, fix = (
                "which is no month",
                "write months as YYYYMM, such as 202608, in every row",
            )
        for group in files:
            raise_for_value(reader, group, self.date_column, no_day, problem, fix)

    def day_of(self, column: Column) -> str:
        """Return the SQL of a row's day, DATE, or null where the value is none to be monitored.

        Of a month it is the first.
        """
        day = self._any_day(column)
        return f"CASE WHEN {day} BETWEEN DATE '{MIN_DAY}' AND DATE '{MAX_DAY}' THEN {day} END"

    def _any_day(self, column: Column) -> str:
        moment, text = column.reference, f"trim({column.reference})"
        if self.date_column_format == "yyyymm":
            month = f"trim(CAST({moment} AS VARCHAR))"
            is_month = f"regexp_full_match({month}, '{_YYYYMM}')"
            return f"CASE WHEN {is_month} THEN CAST(strptime({month}[:6], '%Y%m') AS DATE) END"
        if column.is_text and column.is_untyped and (form := self.csv_format.date_format):
            parsed = f"try_strptime({text}, {sql_text(form)})"
            return self._local_day(parsed) if "%z" in form else f"CAST({parsed} AS DATE)"
        if column.is_text:
            with_offset = self._local_day(f"TRY_CAST(upper({text}) AS TIMESTAMPTZ)")
            return (
                f"CASE WHEN regexp_full_match({moment}, '{_WITH_OFFSET}') THEN {with_offset} "
                f"WHEN regexp_full_match({moment}, '{_ISO_8601}') "
                f"THEN TRY_CAST({text}[:10] AS DATE) END"
            )
        zoned = "tz" in column.type_id or "zone" in column.type_id
        if column.type_id not in ("date", "timestamp"):
            # Nanoseconds with a time zone have no isfinite; microseconds are enough for a day.
            moment = f"CAST({moment} AS TIMESTAMP{'TZ' if zoned else ''})"
        day = self._local_day(moment) if zoned else f"CAST({moment} AS DATE)"
        return f"CASE WHEN isfinite({moment}) THEN {day} END"

    def _local_day(self, moment: str) -> str:
        """Return the SQL of the day on which a TIMESTAMP WITH TIME ZONE is in the time zone."""
        return f"CAST(timezone({sql_text(self.calendar.time_zone)}, {moment}) AS DATE)"


def _require_arrived(window: Window, first: date | None, last: date | None) -> None:
    """Refuse a window before the data begin, or after their end, which may be late.

    Any other window without rows has no bookings, and so has a Saturday or Sunday.
    """
    extent = "no day is there"
    if first is not None and last is not None:
        is_weekend = window.length == "day" and window.first_day.weekday() >= calendar.SATURDAY
        if first <= window.last_day and (window.first_day <= last or is_weekend):
            return
        extent = f"days {first} to {last} are there"
    raise DatasetError(
        f"has no transactions of {window} ({extent})",
        f"add that {window.length}'s transactions, or choose one that is there; a "
        f"{'weekday' if window.length == 'day' else window.length} without bookings passes once a "
        f'later {window.length} is there, or with "empty_windows": "allowed"',
    )


def _require_distinct(files: TabularFiles) -> None:
    known: dict[str, str] = {}
    for column in files.columns:
        if not column.name:
            raise DatasetError(f"{files.paths[0]} has a column without a name", "name every column")
        other = known.setdefault(column.name.casefold(), column.name)
        if other is not column.name:
            raise DatasetError(
                f"{files.paths[0]} has the columns {other!r} and {column.name!r}, which differ by "
                "case at most",
                "rename one of them",
            )


def own_transactions(config: MonitoringConfig) -> FileTransactions:
    """Open the files that the configuration's `transactions` names."""
    assert config.transactions is not None
    return transactions_at(config.transactions, config)


def transactions_at(location: str, config: MonitoringConfig) -> FileTransactions:
    """Open files elsewhere, or no files ("") to read the days of others as they would be read."""
    return FileTransactions(
        location,
        date_column=config.date_column,
        required_columns=tuple(config.drift_thresholds),
        csv_format=config.csv,
        calendar=config.windows,
        date_column_format=config.date_column_format,
        allows_empty=config.empty_windows == "allowed",
    )


def complete_config(config: MonitoringConfig) -> MonitoringConfig:
    """Return the configuration with what it does not set and its `transactions` tell.

    Files named by week or month are monitored by it, and so is a column `month`, with numbers such
    as 202608, where there is no date column. The first day is that of the data. A DatasetError
    tells what does not go together, or cannot be read.
    """
    assert config.transactions is not None
    given, changes = config.model_fields_set, dict[str, Any]()
    found = find_transactions(config.transactions, config.monitoring_window)
    if found.length is not None and "monitoring_window" not in given:
        changes["monitoring_window"] = found.length
    by_month = {"date_column": _MONTH_COLUMN, "date_column_format": "yyyymm"}
    may_be_month = config.monitoring_window == "month" or "monitoring_window" not in given
    schema = None
    if found.dated:
        with open_reader(config.csv) as reader:
            schema = reader.read_schema(found.dated[0], tuple(config.drift_thresholds))
        names = {column.name for column in schema.columns}
        is_taken = config.date_column in names or config.label_column == _MONTH_COLUMN
        may_be_month &= _MONTH_COLUMN in names and not is_taken
        if may_be_month and not given & by_month.keys():
            changes |= by_month | {"monitoring_window": "month"}
    # Validated again, as the defaults of other keys depend on these.
    config = config.model_validate(config.model_dump(exclude_unset=True) | changes)
    source = own_transactions(config)
    if "start_date" in given:
        source.files()
        if schema is not None and schema.columns:
            source.require_days(schema)
        return config
    windows = source.windows()
    if not windows:
        raise DatasetError("has no rows", "add transactions")
    return config.model_copy(update={"start_date": windows[0].first_day})


def check_transactions(config: MonitoringConfig) -> str:
    """Read the windows of `transactions` and, as a sample, the baseline or the first window.

    Returned is what there is, for people; a DatasetError says what cannot be read or measured.
    """
    config = complete_config(config)
    source = own_transactions(config)
    windows = source.windows()
    if not windows:
        raise DatasetError(f"{config.transactions} has no rows", "name data with transactions")
    with TemporaryDirectory() as directory:
        sample = Path(directory) / "sample.parquet"
        if source.write_baseline(sample) is None:
            source.write_window(windows[0], sample)
        found = scan_statistics([sample], monitored_kinds(config), csv_format=config.csv)
    kinds = ", ".join(f"{name} {item.kind}" for name, item in found.features.items())
    first, last = windows[0], windows[-1]
    empty = len(config.windows.between(first, last)) - len(windows)
    gaps = f" ({empty} between them without transactions)" if empty else ""
    return f"{len(windows)} {first.length}(s), {first.key} to {last.key}{gaps}; {kinds}"


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where the baseline decides."""
    kinds = {feature: config.feature_type(feature) for feature in config.drift_thresholds}
    return {feature: FeatureKind(kind) if kind else None for feature, kind in kinds.items()}
