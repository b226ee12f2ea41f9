"""The user's own Parquet or CSV transactions, one window at a time."""

from __future__ import annotations

import calendar
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.column_checks import raise_for_value
from transak_drift.local.dataset_files import DailyFiles, DatasetError, find_days
from transak_drift.local.dataset_statistics import scan_statistics
from transak_drift.local.tabular_files import (
    Column,
    DatasetReader,
    TabularFiles,
    open_reader,
    sql_name,
    sql_text,
)

_ISO_8601 = r"\s*\d{4}-\d{2}-\d{2}([T ].*)?\s*"
# A name that no column of the user's has.
_DAY = '"transak_drift day of the row"'


@dataclass(frozen=True, slots=True)
class FileTransactions:
    """Transactions in files of the user's.

    The location is one of:

    - a path with `{date}`: one file for each day, e.g. `/data/{date}.csv`;
    - a directory with files `YYYY-MM-DD.parquet`, `.csv` or `.csv.gz`, or directories
      `date=YYYY-MM-DD` of such files; `baseline.parquet`, `.csv` or `.csv.gz` may lie beside them;
    - a file or glob with a date column (DATE, TIMESTAMP or text): rows are chosen by the day that
      stands there; a TIMESTAMP WITH TIME ZONE is taken in UTC.

    Every file must have the required columns. Each value is kept as it stands in its file, those of
    CSV as text. What cannot be read as the location says is a DatasetError.
    """

    location: str
    required_columns: tuple[str, ...] = ("description", "type")
    date_column: str = "date"
    csv_format: CsvFormat = field(default_factory=CsvFormat)
    calendar: WindowCalendar = field(default_factory=WindowCalendar)
    allows_empty: bool = False

    def windows(self) -> list[Window]:
        """Return the windows that have transactions, ascending."""
        return sorted({self.calendar.of_day(day) for day in self.days()})

    def days(self) -> list[date]:
        """Return the days that have transactions, ascending."""
        with self._reader() as reader:
            found = find_days(self.location)
            if isinstance(found, DailyFiles):
                return list(found.files)
            files, query = self._rows(reader, found, with_day=True)
            days = f"SELECT DISTINCT {_DAY} FROM ({query}) ORDER BY 1 NULLS FIRST"
            found_days = [day for (day,) in reader.connection.execute(days).fetchall()]
            if None in found_days:
                self._raise_for_no_day(reader, files)
            return found_days

    def write_window(self, window: Window, destination: Path) -> int:
        """Write a window's transactions to a Parquet file, which appears whole or not at all.

        Returned are its rows; 0 of a window without bookings, such as a Sunday. A DatasetError
        tells that the data begin after the window, or end before it, if it is not a weekend and
        no window may be empty.
        """
        with self._reader() as reader, replace_file(destination) as temporary:
            found = find_days(self.location)
            if not isinstance(found, DailyFiles):
                return self._write(reader, found, temporary, window)
            files = [file for day in window.days for file in found.files.get(day, ())]
            if files:
                return self._write(reader, files, temporary, None)
            if not self.allows_empty:
                _require_arrived(window, min(found.files), max(found.files))
            columns = dict.fromkeys(self.required_columns, pa.array([], pa.string()))
            pq.write_table(pa.table(columns), temporary)
            return 0

    def write_baseline(self, destination: Path) -> int | None:
        """Write the directory's own baseline as `write_window` does; None where it has none."""
        with self._reader() as reader:
            found = find_days(self.location)
            if not isinstance(found, DailyFiles) or found.baseline is None:
                return None
            with replace_file(destination) as temporary:
                rows = self._write(reader, found.baseline, temporary, None)
                if not rows:
                    problem = f"{found.baseline[0]} has no rows"
                    raise DatasetError(problem, "fill it, or remove it to go without")
                return rows

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
                self._require_days(group)
                columns.append(f"{self._day(group.column(self.date_column))} AS {_DAY}")
            queries.append(f"SELECT {', '.join(columns)} FROM {group.relation()}")
        return files, " UNION ALL BY NAME ".join(queries)

    def _require_days(self, files: TabularFiles) -> None:
        column = next((item for item in files.columns if item.name == self.date_column), None)
        if column is None:
            raise DatasetError(
                f"{files.paths[0]} has no column {self.date_column!r} with the day",
                "name the column (date_column), or split the data by day: a path with {date}, or "
                "a directory with files YYYY-MM-DD.parquet or .csv; to compare two files as they "
                "are: transak-drift compare BASELINE TARGET",
            )
        if not column.is_text and not column.type_id.startswith(("date", "timestamp")):
            raise DatasetError(
                f"{files.paths[0]} has the column {column.name!r} of type {column.type_name}, "
                "which is no day",
                "store it as DATE, TIMESTAMP or text YYYY-MM-DD, or name another column "
                "(date_column)",
            )

    def _raise_for_no_day(self, reader: DatasetReader, files: Sequence[TabularFiles]) -> None:
        """Raise for the first row without a day: passing over it would lose it without a word."""

        def no_day(column: Column) -> str:
            return f"({self._day(column)}) IS NULL"

        fix = "write days as YYYY-MM-DD in every row, or set their form in CSV, such as "
        fix += '"csv": {"date_format": "%d.%m.%Y"} for 20.11.2026'
        if form := self.csv_format.date_format:
            fix = f'write days as "csv": {{"date_format": "{form}"}} says, in every row'
        for group in files:
            raise_for_value(reader, group, self.date_column, no_day, "which is no day", fix)

    def _day(self, column: Column) -> str:
        """Return the SQL of a row's day, DATE, or null where the value is no day."""
        if column.is_text and column.is_untyped and self.csv_format.date_format:
            form = sql_text(self.csv_format.date_format)
            return f"CAST(try_strptime(trim({column.reference}), {form}) AS DATE)"
        if column.is_text:
            return (
                f"CASE WHEN regexp_full_match({column.reference}, '{_ISO_8601}')"
                f" THEN TRY_CAST(left(trim({column.reference}), 10) AS DATE) END"
            )
        moment = column.reference
        if column.type_id not in ("date", "timestamp"):
            # Nanoseconds with a time zone have no isfinite; microseconds are enough for a day.
            zoned = "tz" in column.type_id or "zone" in column.type_id
            moment = f"CAST({moment} AS TIMESTAMP{' WITH TIME ZONE' if zoned else ''})"
        return f"CASE WHEN isfinite({moment}) THEN CAST({moment} AS DATE) END"


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
    return FileTransactions(
        config.transactions,
        date_column=config.date_column,
        required_columns=tuple(config.drift_thresholds),
        csv_format=config.csv,
        calendar=config.windows,
        allows_empty=config.empty_windows == "allowed",
    )


def check_transactions(config: MonitoringConfig) -> str:
    """Read the windows of `transactions` and, as a sample, the baseline or the first window.

    Returned is what there is, for people; a DatasetError says what cannot be read or measured.
    """
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
    return f"{len(windows)} {first.length}(s), {first.key} to {last.key}; {kinds}"


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where the baseline decides."""
    kinds = {feature: config.feature_type(feature) for feature in config.drift_thresholds}
    return {feature: FeatureKind(kind) if kind else None for feature, kind in kinds.items()}
