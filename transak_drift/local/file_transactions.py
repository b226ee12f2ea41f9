"""The user's own Parquet or CSV transactions, one day at a time."""

from __future__ import annotations

import calendar
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.config.monitoring_config import MonitoringConfig
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


class TransactionsError(DatasetError):
    """Transactions that cannot be read as `transactions` names them."""

    def __init__(self, location: str, problem: str, fix: str) -> None:
        super().__init__(f"transactions = {location!r}: {problem}", fix)
        self.problem = problem


class FileTransactions:
    """Transactions in files of the user's.

    The location is one of:

    - a path with `{date}`: one file for each day, e.g. `/data/{date}.csv`;
    - a directory with files `YYYY-MM-DD.parquet`, `.csv` or `.csv.gz`, or directories
      `date=YYYY-MM-DD` of such files; `baseline.parquet`, `.csv` or `.csv.gz` may lie beside them;
    - a file or glob with a date column (DATE, TIMESTAMP or text): rows are chosen by the day that
      stands there; a TIMESTAMP WITH TIME ZONE is taken in UTC.

    Each value is kept as it stands in its file, those of CSV as text; a kept day notes which
    columns are such text, and which files it came from.

    Args:
        location: where the transactions are.
        required_columns: the monitored features; every file must have them.
        date_column: column with the day, where the files' names do not give it.
        csv_format: the form of CSV files.

    Raises:
        TransactionsError: nothing is there, or the location is none of these.
    """

    def __init__(
        self,
        location: str,
        *,
        required_columns: Sequence[str] = ("description", "type"),
        date_column: str = "date",
        csv_format: CsvFormat | None = None,
    ) -> None:
        self.location = location
        self._required = tuple(dict.fromkeys(required_columns))
        self._date_column = date_column
        self._csv_format = csv_format or CsvFormat()
        self._find_files()

    def days(self) -> list[date]:
        """Return the days that have transactions, ascending."""
        found = self._find_files()
        if isinstance(found, DailyFiles):
            return list(found.files)
        with self._reader() as reader:
            rows = self._rows(self._open(reader, found), with_day=True)
            days = f"SELECT DISTINCT {_DAY} FROM ({rows}) WHERE {_DAY} IS NOT NULL ORDER BY 1"
            return [row[0] for row in reader.connection.execute(days).fetchall()]

    def write_day(self, day: date, destination: Path) -> int:
        """Write a day's transactions to a Parquet file, which appears whole or not at all.

        Args:
            day: the booking day.
            destination: the file; replaced where it exists, its directory made where missing.

        Returns:
            The number of rows; 0 of a day without bookings, such as a Sunday.

        Raises:
            TransactionsError: the transactions cannot be read, begin on a later day, or end
                before the day, a weekday.
        """
        found = self._find_files()
        if isinstance(found, DailyFiles):
            if day in found.files:
                return self._write_files(found.files[day], destination)
            self._require_arrived(day, *_extent(found.files))
            with replace_file(destination) as temporary:
                columns = dict.fromkeys(self._required, pa.array([], pa.string()))
                pq.write_table(pa.table(columns), temporary)
            return 0
        with self._reader() as reader, replace_file(destination) as temporary:
            files = self._open(reader, found)
            query = self._rows(files, with_day=True)
            [(dateless, first, last, rows)] = reader.connection.execute(
                f"SELECT count(*) - count({_DAY}), min({_DAY}), max({_DAY}), "
                f"count(*) FILTER ({_DAY} = DATE '{day}') FROM ({query})"
            ).fetchall()
            if dateless:
                self._raise_for_row_without_day(reader, files)
            if not rows:
                self._require_arrived(day, first, last)
            chosen = f"SELECT * EXCLUDE ({_DAY}) FROM ({query}) WHERE {_DAY} = DATE '{day}'"
            return reader.write_rows(chosen, files, temporary)

    def write_baseline(self, destination: Path) -> int | None:
        """Write the directory's own baseline as `write_day` does a day; None where it has none."""
        found = self._find_files()
        if not isinstance(found, DailyFiles) or found.baseline is None:
            return None
        rows = self._write_files(found.baseline, destination)
        if rows == 0:
            destination.unlink()
            raise self._error(
                f"{found.baseline[0]} has no rows", "fill it, or remove it to go without"
            )
        return rows

    def _write_files(self, paths: Sequence[Path], destination: Path) -> int:
        with self._reader() as reader, replace_file(destination) as temporary:
            files = self._open(reader, paths, with_day=False)
            return reader.write_rows(self._rows(files, with_day=False), files, temporary)

    def _find_files(self) -> DailyFiles | tuple[Path, ...]:
        with self._own_errors():
            return find_days(self.location)

    @contextmanager
    def _reader(self) -> Generator[DatasetReader]:
        with self._own_errors(), open_reader(self._csv_format) as reader:
            yield reader

    @contextmanager
    def _own_errors(self) -> Generator[None]:
        """Errors of reading become errors of the setting."""
        try:
            yield
        except TransactionsError:
            raise
        except DatasetError as error:
            raise self._error(error.problem, error.fix) from error

    def _open(
        self, reader: DatasetReader, paths: Sequence[Path], *, with_day: bool = True
    ) -> tuple[TabularFiles, ...]:
        files = reader.open_files(paths, self._required)
        if not files:
            raise self._error(
                f"{paths[0]} has no header line", f"write one with {', '.join(self._required)}"
            )
        for group in files:
            _require_distinct(group)
            if with_day and self._date_column not in [column.name for column in group.columns]:
                raise self._error(
                    f"{group.paths[0]} has no column {self._date_column!r} with the day",
                    "name the column (date_column), or split the data by day: a path with {date}, "
                    "or a directory with files YYYY-MM-DD.parquet or .csv; to compare two files "
                    "as they are: transak-drift compare BASELINE TARGET",
                )
        return files

    def _rows(self, files: Sequence[TabularFiles], *, with_day: bool) -> str:
        queries = []
        for group in files:
            columns = [f"{column.reference} AS {sql_name(column.name)}" for column in group.columns]
            if with_day:
                columns.append(f"{self._day(group)} AS {_DAY}")
            queries.append(f"SELECT {', '.join(columns)} FROM {group.relation()}")
        return " UNION ALL BY NAME ".join(queries)

    def _day(self, files: TabularFiles) -> str:
        """Return the SQL of a row's day, DATE, or null where the value is no day."""
        column = files.column(self._date_column)
        if column.is_text and column.is_untyped and self._csv_format.date_format:
            form = sql_text(self._csv_format.date_format)
            return f"CAST(try_strptime(trim({column.reference}), {form}) AS DATE)"
        if column.is_text:
            return (
                f"CASE WHEN regexp_full_match({column.reference}, '{_ISO_8601}')"
                f" THEN TRY_CAST(left(trim({column.reference}), 10) AS DATE) END"
            )
        if column.type_id == "date" or column.type_id.startswith("timestamp"):
            moment = _in_microseconds(column)
            return f"CASE WHEN isfinite({moment}) THEN CAST({moment} AS DATE) END"
        raise self._error(
            f"{files.paths[0]} has the column {self._date_column!r} of type {column.type_name}, "
            "which is no day",
            "store it as DATE, TIMESTAMP or text YYYY-MM-DD, or name another column (date_column)",
        )

    def _raise_for_row_without_day(
        self, reader: DatasetReader, files: Sequence[TabularFiles]
    ) -> None:
        """Raise for the first row of no day: passing over it would lose it without a word."""
        form = self._csv_format.date_format
        fix = (
            f'write days as "csv": {{"date_format": "{form}"}} says, in every row'
            if form
            else "write days as YYYY-MM-DD in every row, or set their form in CSV, such as "
            '"csv": {"date_format": "%d.%m.%Y"} for 20.11.2026'
        )
        for group in files:
            no_day = f"({self._day(group)}) IS NULL"
            raise_for_value(reader, group, self._date_column, no_day, "which is no day", fix)

    def _require_arrived(self, day: date, first: date | None, last: date | None) -> None:
        """Refuse a day before the data begin, or a weekday after their end, which may be late.

        Any other day without rows has no bookings.
        """
        if first is None or last is None:
            extent = "no day is there"
        elif first <= day and (day <= last or day.weekday() >= calendar.SATURDAY):
            return
        else:
            extent = f"days {first} to {last} are there"
        raise self._error(
            f"has no transactions of {day} ({extent})",
            "add that day's transactions, or choose a day that is there; a weekday without "
            "bookings passes once a later day is there",
        )

    def _error(self, problem: str, fix: str) -> TransactionsError:
        return TransactionsError(self.location, problem, fix)


def own_transactions(config: MonitoringConfig) -> FileTransactions:
    """Open the files that the configuration's `transactions` names."""
    assert config.transactions is not None
    return FileTransactions(
        config.transactions,
        date_column=config.date_column,
        required_columns=tuple(config.drift_thresholds),
        csv_format=config.csv,
    )


def check_transactions(config: MonitoringConfig) -> str:
    """Read the days of `transactions` and, as a sample, the baseline or the first day.

    Args:
        config: the monitored model, with `transactions` set.

    Returns:
        What there is, for people.

    Raises:
        DatasetError: the data cannot be read or measured as configured.
    """
    source = own_transactions(config)
    days = source.days()
    if not days:
        raise DatasetError(f"{config.transactions} has no rows", "name data with transactions")
    with TemporaryDirectory() as directory:
        sample = Path(directory) / "sample.parquet"
        if source.write_baseline(sample) is None:
            source.write_day(days[0], sample)
        found = scan_statistics([sample], monitored_kinds(config), csv_format=config.csv)
    kinds = ", ".join(f"{name} {item.kind}" for name, item in found.features.items())
    return f"{len(days)} day(s), {days[0]} to {days[-1]}; {kinds}"


def monitored_kinds(config: MonitoringConfig) -> dict[str, FeatureKind | None]:
    """Return how each monitored feature is measured; None where the baseline decides."""
    kinds = {feature: config.feature_type(feature) for feature in config.drift_thresholds}
    return {feature: FeatureKind(kind) if kind else None for feature, kind in kinds.items()}


def _in_microseconds(column: Column) -> str:
    # Nanoseconds with a time zone have no isfinite; microseconds are enough for a day.
    if column.type_id in ("date", "timestamp"):
        return column.reference
    zoned = "tz" in column.type_id or "zone" in column.type_id
    return f"CAST({column.reference} AS TIMESTAMP{' WITH TIME ZONE' if zoned else ''})"


def _extent(days: Collection[date]) -> tuple[date | None, date | None]:
    return min(days, default=None), max(days, default=None)


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
