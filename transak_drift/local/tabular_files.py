"""Parquet and CSV files as DuckDB relations of clean columns: text, or 64-bit floats.

CSV is RFC 4180 in UTF-8, with a header, separated by comma, semicolon, tab or vertical bar.
"""

from __future__ import annotations

import csv
import difflib
import glob
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.tabular_column import NUMBERS, TEXT, Column, quote_identifier

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_HEADER = 1 << 20
_SAMPLED_CELLS = 10_000
_TIMES = frozenset(
    {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
)
_NESTED = frozenset({"list", "array", "struct", "map", "union"})


@dataclass(frozen=True, slots=True)
class TabularFiles:
    """Files of one format and one schema.

    Args:
        paths: the files.
        columns: their columns, in order.
        delimiter: what separates the fields of a CSV, or None for Parquet.
    """

    paths: tuple[Path, ...]
    columns: tuple[Column, ...]
    delimiter: str | None

    def relation(self, name: str) -> tuple[str, dict[str, object]]:
        """Return the SQL of the table function that reads the files, and its parameters.

        Args:
            name: prefix of the parameters' names, unique in the query.
        """
        files: dict[str, object] = {f"{name}_paths": [glob.escape(str(p)) for p in self.paths]}
        if self.delimiter is None:
            return f"read_parquet(${name}_paths, hive_partitioning = false)", files
        compression = "gzip" if self.paths[0].suffix.lower() == ".gz" else "none"
        columns = ", ".join(f"'{column.reference}': 'VARCHAR'" for column in self.columns)
        return (
            f"read_csv(${name}_paths, auto_detect = false, header = true, "
            f"delim = ${name}_delimiter, quote = '\"', escape = '\"', nullstr = '', "
            f"allow_quoted_nulls = false, compression = '{compression}', "
            f"hive_partitioning = false, columns = {{{columns}}})",
            {**files, f"{name}_delimiter": self.delimiter},
        )

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Args:
            name: the name, exactly as in the file.

        Raises:
            DatasetError: there is none of that name, or several.
        """
        found = [column for column in self.columns if column.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(
                f"{self.paths[0]}: column {name!r} is there {len(found)} times; rename one"
            )
        names = [column.name for column in self.columns]
        by_folded_name = {known.casefold(): known for known in names}
        close = difflib.get_close_matches(name.casefold(), by_folded_name, n=1)
        hint = f"; did you mean {by_folded_name[close[0]]!r}?" if close else ""
        raise DatasetError(
            f"{self.paths[0]}: no column {name!r}; its columns are "
            f"{', '.join(repr(known) for known in names)}{hint}"
        )

    def value_expression(self, name: str, kind: FeatureKind) -> str:
        """Return the SQL of a feature's clean value: VARCHAR or DOUBLE.

        Args:
            name: the column.
            kind: how the feature is measured.

        Raises:
            DatasetError: there is no such column, or its type does not allow it.
        """
        column = self.column(name)
        if column.type_id in _NESTED:
            raise DatasetError(
                f"{self.paths[0]}: column {name!r} is of type {column.type_name}, which holds "
                "several values in a row; write them to columns of their own"
            )
        if kind is FeatureKind.CATEGORICAL:
            return column.as_text()
        if column.type_id not in NUMBERS | {TEXT, "boolean", "null"}:
            raise DatasetError(
                f"{self.paths[0]}: column {name!r} is of type {column.type_name}, which is not "
                "numerical; declare the feature categorical in feature_types"
            )
        return column.as_number()

    def day_condition(self, name: str) -> str:
        """Return the SQL that is true of rows from day $first_day to day $last_day, inclusive.

        Args:
            name: the column with the date or time. A text's offset from UTC is passed over: its
                date counts as written. A null is in no day.

        Raises:
            DatasetError: there is no such column, or it holds no dates.
        """
        column = self.column(name)
        value = column.as_timestamp()
        if column.type_id == "date" or column.is_empty:
            return (
                f"CAST({value} AS DATE) "
                "BETWEEN CAST($first_day AS DATE) AND CAST($last_day AS DATE)"
            )
        if column.is_text or column.type_id in _TIMES:
            return (
                f"{value} >= CAST($first_day AS DATE) "
                f"AND {value} < CAST($last_day AS DATE) + INTERVAL 1 DAY"
            )
        raise DatasetError(
            f"{self.paths[0]}: column {name!r} is of type {column.type_name}, which is no date; "
            "name another date_column"
        )

    def detect_kind(self, name: str, connection: duckdb.DuckDBPyConnection) -> FeatureKind | None:
        """Tell how a column is measured by its type.

        Numbers are numerical, all else is categorical. A CSV has no types: a column is numerical
        where its first cells (10,000 that are not null) are all numbers and none has a leading
        zero as codes have.

        Args:
            name: the column.
            connection: an open connection.

        Returns:
            The kind, or None of a column without a value.

        Raises:
            DatasetError: there is no such column.
        """
        column = self.column(name)
        if column.is_empty:
            return None
        if self.delimiter is None:
            numerical = column.type_id in NUMBERS
            return FeatureKind.NUMERICAL if numerical else FeatureKind.CATEGORICAL
        relation, parameters = self.relation("sample")
        ((cells, numbers),) = connection.execute(
            f"SELECT count(*), bool_and({column.as_number('TRY_CAST')} IS NOT NULL "
            f"AND NOT regexp_matches({column.reference}, '^[+-]?0[0-9]')) "
            f"FROM (SELECT {column.reference} FROM {relation} "
            f"WHERE {column.reference} <> '' LIMIT {_SAMPLED_CELLS})",
            parameters,
        ).fetchall()
        if not cells:
            return None
        return FeatureKind.NUMERICAL if numbers else FeatureKind.CATEGORICAL


def read_schemas(
    paths: Sequence[Path], names: Sequence[str], connection: duckdb.DuckDBPyConnection
) -> tuple[TabularFiles, ...]:
    """Read the files' schemas and put those of the same schema together.

    Args:
        paths: the files.
        names: the columns that are needed, by which a CSV's delimiter is recognised.
        connection: an open connection.

    Returns:
        The files by schema; a CSV file of 0 bytes has none and is left out.

    Raises:
        DatasetError: a file cannot be read, or lacks one of the columns.
    """
    groups: dict[tuple[str, str | None, tuple[Column, ...]], list[Path]] = {}
    for path in paths:
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            schema = (suffix, None, _parquet_columns(path, connection))
        else:
            header = _csv_header(path, names)
            if header is None:
                continue
            schema = (suffix, *header)
        groups.setdefault(schema, []).append(path)
    files = [
        TabularFiles(tuple(members), columns, delimiter)
        for (_, delimiter, columns), members in groups.items()
    ]
    for group in files:
        for name in names:
            group.column(name)
    return tuple(files)


def _parquet_columns(path: Path, connection: duckdb.DuckDBPyConnection) -> tuple[Column, ...]:
    relation, parameters = TabularFiles((path,), (), None).relation("schema")
    try:
        connection.execute(f"SELECT * FROM {relation} LIMIT 0", parameters)
    except duckdb.Error as error:
        raise DatasetError(f"{path} is no readable Parquet file: {short_reason(error)}") from None
    return tuple(
        Column(name, quote_identifier(name), type_.id, str(type_))
        for name, type_, *_ in connection.description or ()
    )


def _csv_header(path: Path, names: Sequence[str]) -> tuple[str, tuple[Column, ...]] | None:
    try:
        opener = gzip.open if path.suffix.lower() == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            beginning = file.read(_LONGEST_HEADER)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (OSError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    if not beginning:
        return None
    headers: list[tuple[list[str], str]] = []
    for delimiter in _DELIMITERS:
        try:
            header = next(csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter))
        except csv.Error as error:
            raise DatasetError(f"{path}: the header is no CSV ({error}); correct it") from None
        headers.append((header, delimiter))
    wanted = set(names)
    header, delimiter = max(headers, key=lambda item: (len(wanted & set(item[0])), len(item[0])))
    columns = tuple(
        Column(name, f"column{index}", TEXT, "text") for index, name in enumerate(header)
    )
    return delimiter, columns


def short_reason(error: duckdb.Error) -> str:
    """Return DuckDB's message without the query and the reader's settings.

    Args:
        error: what DuckDB raised.
    """
    return str(error).partition("\n\n")[0].partition("\nPossible fixes:")[0]
