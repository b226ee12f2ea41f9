"""The user's own Parquet or CSV transactions, one day at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from transak_drift.local.atomic_file import replace_file
from transak_drift.local.transaction_errors import (
    NoTransactionsError,
    TransactionsError,
)
from transak_drift.local.transaction_layouts import (
    DailyFiles,
    UndividedFiles,
    find_files,
)
from transak_drift.local.transaction_scan import (
    FileGroup,
    MissingColumnError,
    UnreadableFileError,
    first_line,
    group_files,
    quoted_name,
)

_ISO_8601 = r"\s*\d{4}-\d{2}-\d{2}([T ].*)?\s*"
# A name that no column of the user's has.
_DAY = '"transak_drift day of the row"'


class FileTransactions:
    """Transactions in files of the user's.

    The location is one of:

    - a path with `{date}`: one file for each day, e.g. `/data/{date}.csv`;
    - a directory with files `YYYY-MM-DD.parquet`, `.csv` or `.csv.gz`, or directories
      `date=YYYY-MM-DD` of such files; `baseline.parquet`, `.csv` or `.csv.gz` may lie beside them;
    - a file or glob with a date column (DATE, TIMESTAMP or text in ISO 8601): rows are chosen by
      the day that stands there; a TIMESTAMP WITH TIME ZONE is taken in UTC.

    Parquet columns keep their types. CSV columns are text as it stands in the file, except for
    those that are named numerical, those of undeclared kind whose every cell is a number without
    the leading zero of a code, and the date column where it tells the day.

    Args:
        location: where the transactions are.
        required_columns: the monitored features; every file must have them.
        numerical_columns: those that CSV must hold numbers in.
        undeclared_columns: those whose CSV cells decide whether they are numbers.
        date_column: column that tells the day, where the files do not.
        label_column: column with the label; it may be missing.
        setting: name of the setting that gives the location, for errors.

    Raises:
        TransactionsError: nothing is there, or the location is none of these.
    """

    def __init__(
        self,
        location: str,
        *,
        required_columns: Sequence[str] = ("description", "type"),
        numerical_columns: Collection[str] = (),
        undeclared_columns: Collection[str] = (),
        date_column: str = "date",
        label_column: str = "category",
        setting: str = "transactions",
    ) -> None:
        self.location = location
        self.label_column = label_column
        self._required = tuple(dict.fromkeys(required_columns))
        self._numerical = frozenset(numerical_columns)
        self._undeclared = frozenset(undeclared_columns)
        self._date_column = date_column
        self._setting = setting
        self._find_files()

    def days(self) -> list[date]:
        """Return the days that have transactions, ascending.

        Raises:
            TransactionsError: the files cannot be read.
        """
        found = self._find_files()
        if isinstance(found, DailyFiles):
            return list(found.files)
        with self._connection() as connection:
            groups = self._groups(connection, found.files, with_day=True)
            query = self._query(connection, groups, with_day=True)
            return [
                row[0]
                for row in connection.sql(
                    f"SELECT DISTINCT {_DAY} FROM ({query}) WHERE {_DAY} IS NOT NULL ORDER BY 1"
                ).fetchall()
            ]

    def write_day(self, day: date, destination: Path) -> int:
        """Write a day's transactions; see `TransactionSource.write_day`.

        Raises:
            NoTransactionsError: the day has none; names the days there are.
            TransactionsError: a file cannot be read, lacks a column, or holds a value that is
                no date or no number where one is needed.
        """
        found = self._find_files()
        if isinstance(found, DailyFiles):
            if day not in found.files:
                raise self._no_transactions(day, self.location, list(found.files))
            rows = self._write_files(found.files[day], destination)
            if rows == 0:
                place = " and ".join(map(str, found.files[day]))
                raise self._no_transactions(day, place, list(found.files))
            return rows
        with self._connection() as connection:
            groups = self._groups(connection, found.files, with_day=True)
            query = self._query(connection, groups, with_day=True)
            self._require_day(connection, groups, query, day)
            chosen = (
                f"SELECT * EXCLUDE ({_DAY}) FROM ({query}) WHERE {_DAY} = DATE '{day.isoformat()}'"
            )
            return self._write(connection, groups, chosen, destination)

    def write_baseline(self, destination: Path) -> int | None:
        """Write the directory's baseline; see `TransactionSource.write_baseline`."""
        found = self._find_files()
        if not isinstance(found, DailyFiles) or found.baseline is None:
            return None
        rows = self._write_files(found.baseline, destination)
        if rows == 0:
            raise self._error(
                f"{found.baseline[0]} has no rows", "fill it, or remove it to go without"
            )
        return rows

    def _write_files(self, files: Sequence[Path], destination: Path) -> int:
        with self._connection() as connection:
            groups = self._groups(connection, files, with_day=False)
            query = self._query(connection, groups, with_day=False)
            return self._write(connection, groups, query, destination)

    def _find_files(self) -> DailyFiles | UndividedFiles:
        return find_files(self._setting, self.location)

    @contextmanager
    def _connection(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Open DuckDB; errors of reading become errors of the setting."""
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            try:
                yield connection
            except UnreadableFileError as error:
                raise self._error(f"{error.path} {error.problem}", error.fix) from error
            except duckdb.Error as error:
                raise self._error(
                    f"cannot be read: {first_line(error)}", "correct the file at that place"
                ) from error

    def _groups(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[Path],
        *,
        with_day: bool,
    ) -> list[FileGroup]:
        required = (*self._required, self._date_column) if with_day else self._required
        try:
            return group_files(connection, files, required)
        except MissingColumnError as error:
            if error.missing != (self._date_column,) or not with_day:
                raise
            raise self._error(
                f"{error.path} has no column {self._date_column!r} that tells the day",
                "name the column (date_column), or split the data by day: a path with {date}, or "
                "a directory with files YYYY-MM-DD.parquet or .csv; to compare two files as they "
                "are: transak-drift compare BASELINE TARGET",
            ) from error

    def _query(
        self,
        connection: duckdb.DuckDBPyConnection,
        groups: Sequence[FileGroup],
        *,
        with_day: bool,
    ) -> str:
        undeclared = self._numbers_in_every_cell(connection, groups)
        return " UNION ALL BY NAME ".join(
            self._group_query(group, self._numerical | undeclared, with_day=with_day)
            for group in groups
        )

    def _numbers_in_every_cell(
        self, connection: duckdb.DuckDBPyConnection, groups: Sequence[FileGroup]
    ) -> frozenset[str]:
        """Return the undeclared columns that hold nothing but numbers in all CSV files."""
        csv_groups = [group for group in groups if group.is_csv]
        found = {
            name
            for name in self._undeclared
            if csv_groups and all(name in group.types for group in csv_groups)
        }
        for group in csv_groups:
            for name in sorted(found):
                column = quoted_name(name)
                [(numbers,)] = connection.execute(
                    f"SELECT bool_and(TRY_CAST({column} AS DOUBLE) IS NOT NULL"
                    f" AND NOT regexp_matches({column}, '^[+-]?0[0-9]'))"
                    f" FROM {group.table()} WHERE {column} IS NOT NULL"
                ).fetchall()
                if numbers is False:
                    found.discard(name)
        return frozenset(found)

    def _group_query(self, group: FileGroup, numerical: Collection[str], *, with_day: bool) -> str:
        replaced = {}
        if group.is_csv:
            replaced = {
                name: f"CAST({quoted_name(name)} AS DOUBLE)"
                for name in group.types
                if name in numerical
            }
            if with_day:
                replaced[self._date_column] = self._day_expression(group)
        replacements = ", ".join(
            f"{expression} AS {quoted_name(name)}" for name, expression in replaced.items()
        )
        columns = f"* REPLACE ({replacements})" if replacements else "*"
        day = f"{self._day_expression(group)} AS {_DAY}, " if with_day else ""
        return f"SELECT {day}{columns} FROM {group.table()}"

    def _day_expression(self, group: FileGroup) -> str:
        column = quoted_name(self._date_column)
        kind = group.types[self._date_column]
        if kind == "VARCHAR":
            return (
                f"CASE WHEN regexp_full_match({column}, '{_ISO_8601}')"
                f" THEN TRY_CAST(left(trim({column}), 10) AS DATE) END"
            )
        if kind == "DATE" or kind.startswith("TIMESTAMP"):
            return f"CASE WHEN isfinite({column}) THEN CAST({column} AS DATE) END"
        raise self._error(
            f"{group.paths[0]} has the column {self._date_column!r} of type {kind}, which tells "
            "no day",
            "store it as DATE, TIMESTAMP or text YYYY-MM-DD, or name another column (date_column)",
        )

    def _require_day(
        self,
        connection: duckdb.DuckDBPyConnection,
        groups: Sequence[FileGroup],
        query: str,
        day: date,
    ) -> None:
        [(dateless, of_day, first, last)] = connection.execute(
            f"SELECT count(*) - count({_DAY}), count(*) FILTER ({_DAY} = $day),"
            f" min({_DAY}), max({_DAY}) FROM ({query})",
            {"day": day},
        ).fetchall()
        if dateless:
            # Such a row belongs to no day: passing over it would lose it without a word.
            self._raise_for_faulty_value(
                connection,
                groups,
                self._date_column,
                lambda group: f"({self._day_expression(group)}) IS NULL",
                f"is no day (rows like that: {dateless})",
                "write days as YYYY-MM-DD in every row",
            )
        if not of_day:
            raise self._no_transactions(day, self.location, [] if first is None else [first, last])

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        groups: Sequence[FileGroup],
        query: str,
        destination: Path,
    ) -> int:
        try:
            with replace_file(destination) as temporary:
                connection.sql(query).write_parquet(str(temporary), compression="zstd")
                rows = pq.read_metadata(temporary).num_rows
                if rows == 0:
                    raise _EmptyDayError
        except _EmptyDayError:
            return 0
        except duckdb.ConversionException:
            for name in sorted(self._numerical):
                self._raise_for_faulty_value(
                    connection,
                    [group for group in groups if group.is_csv and name in group.types],
                    name,
                    lambda group, name=name: (
                        f"{quoted_name(name)} IS NOT NULL"
                        f" AND TRY_CAST({quoted_name(name)} AS DOUBLE) IS NULL"
                    ),
                    "is no number",
                    f"write numbers like 1234.5 in {name!r}, or leave the field empty",
                )
            raise
        return rows

    def _raise_for_faulty_value(
        self,
        connection: duckdb.DuckDBPyConnection,
        groups: Sequence[FileGroup],
        column: str,
        condition: Callable[[FileGroup], str],
        problem: str,
        fix: str,
    ) -> None:
        """Raise for the first value that meets a condition, and tell its file and row."""
        for group in groups:
            for path in group.paths:
                single = FileGroup(group.delimiter, group.types, (path,))
                rows = connection.execute(
                    f"SELECT row, {quoted_name(column)} FROM"
                    f" (SELECT row_number() OVER () AS row, {quoted_name(column)}"
                    f" FROM {single.table()}) WHERE {condition(group)} ORDER BY row LIMIT 1"
                ).fetchall()
                for number, value in rows:
                    raise self._error(
                        f"{path}, row {number} after the header, column {column!r}: "
                        f"{value!r} {problem}",
                        fix,
                    )

    def _no_transactions(
        self, day: date, place: str, available: Sequence[date]
    ) -> NoTransactionsError:
        extent = (available[0], available[-1]) if available else None
        return NoTransactionsError(self._setting, self.location, day, place, extent)

    def _error(self, problem: str, fix: str) -> TransactionsError:
        return TransactionsError(self._setting, self.location, problem, fix)


class _EmptyDayError(Exception):
    """Leaves `replace_file` without replacing anything."""
