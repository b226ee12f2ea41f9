"""SQL that reads the user's Parquet and CSV files with DuckDB, each value as it stands there."""

from __future__ import annotations

import csv
import glob
import gzip
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

_DELIMITERS = (",", ";", "\t", "|")
_PARQUET = ".parquet"


class UnreadableFileError(ValueError):
    """A file that is not what its name says, or lacks a column.

    Args:
        path: the file.
        problem: what is wrong with it, as the end of a sentence.
        fix: what to do.
    """

    def __init__(self, path: Path, problem: str, fix: str) -> None:
        self.path = path
        self.problem = problem
        self.fix = fix
        super().__init__(f"{path}: {problem}; fix: {fix}")


class MissingColumnError(UnreadableFileError):
    """A file that lacks a column.

    Args:
        path: the file.
        missing: the columns it lacks.
        existing: the columns it has.
    """

    def __init__(self, path: Path, missing: Sequence[str], existing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            path,
            f"has no column {', '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(repr, existing))}",
            "rename its columns; upper and lower case count",
        )


def quoted_name(name: str) -> str:
    """Quote a column's name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files of one kind that are read in one scan.

    Args:
        delimiter: of CSV; empty for Parquet.
        types: each column's DuckDB type; VARCHAR for all columns of CSV.
        paths: the files, at least one.
    """

    delimiter: str
    types: Mapping[str, str]
    paths: tuple[Path, ...]

    @property
    def is_csv(self) -> bool:
        """True for CSV, compressed or not."""
        return bool(self.delimiter)

    def table(self) -> str:
        """Return the SQL table function that reads the files, in their order.

        CSV (RFC 4180): an empty field is missing unless it is quoted.
        """
        names = "[" + ", ".join(quoted_text(glob.escape(str(path))) for path in self.paths) + "]"
        if not self.is_csv:
            return f"read_parquet({names}, hive_partitioning = false)"
        # Nothing is left to detection: it would drop leading zeros and skip lines it finds odd.
        types = ", ".join(f"{quoted_text(name)}: 'VARCHAR'" for name in self.types)
        return (
            f"read_csv({names}, auto_detect = false, header = true, columns = {{{types}}},"
            f" delim = {quoted_text(self.delimiter)}, quote = '\"', escape = '\"',"
            " allow_quoted_nulls = false, hive_partitioning = false)"
        )


def group_files(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], required: Collection[str]
) -> list[FileGroup]:
    """Group files that have the same columns, so that thousands of files need few scans.

    Args:
        connection: to read Parquet schemas with.
        files: at least one; their names end in .parquet, .csv or .csv.gz.
        required: columns that every file must have; CSV's delimiter (comma, semicolon, tab or
            bar) is the one with which the header line holds most of them.

    Returns:
        The groups, in the order of their first file.

    Raises:
        UnreadableFileError: names the file, what is wrong and a fix.
    """
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Path]] = {}
    for path in files:
        if path.name.endswith(_PARQUET):
            delimiter, types = "", _parquet_types(connection, path)
        else:
            delimiter, columns = _csv_layout(path, required)
            types = [(name, "VARCHAR") for name in columns]
        names = [name for name, _ in types]
        _require_distinct(path, names)
        missing = [name for name in required if name not in names]
        if missing:
            raise MissingColumnError(path, missing, names)
        groups.setdefault((delimiter, tuple(types)), []).append(path)
    return [
        FileGroup(delimiter, dict(types), tuple(paths))
        for (delimiter, types), paths in groups.items()
    ]


def _parquet_types(connection: duckdb.DuckDBPyConnection, path: Path) -> list[tuple[str, str]]:
    group = FileGroup("", {}, (path,))
    try:
        relation = connection.sql(f"SELECT * FROM {group.table()}")
    except duckdb.Error as error:
        raise UnreadableFileError(
            path, f"cannot be read as Parquet: {first_line(error)}", "write it again as Parquet"
        ) from error
    return list(zip(relation.columns, map(str, relation.types), strict=True))


def _csv_layout(path: Path, required: Collection[str]) -> tuple[str, tuple[str, ...]]:
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            headers = {}
            for delimiter in _DELIMITERS:
                file.seek(0)
                headers[delimiter] = tuple(next(csv.reader(file, delimiter=delimiter), ()))
    except (UnicodeDecodeError, EOFError, OSError, csv.Error) as error:
        raise UnreadableFileError(
            path, f"cannot be read as CSV: {error}", "save it as CSV in UTF-8"
        ) from error
    if not headers[_DELIMITERS[0]]:
        raise UnreadableFileError(
            path, "has no header line", f"write one with {', '.join(map(repr, required))}"
        )
    # The delimiter is the one with which the header holds the columns, else the commonest.
    delimiter = max(
        _DELIMITERS,
        key=lambda each: (len(set(required) & set(headers[each])), len(headers[each])),
    )
    return delimiter, headers[delimiter]


def _require_distinct(path: Path, columns: Sequence[str]) -> None:
    known: dict[str, str] = {}
    for name in columns:
        if not name:
            raise UnreadableFileError(path, "has a column without a name", "name every column")
        if name.casefold() in known:
            raise UnreadableFileError(
                path,
                f"has the columns {known[name.casefold()]!r} and {name!r}, which differ by case "
                "at most",
                "rename one of them",
            )
        known[name.casefold()] = name


def first_line(error: Exception) -> str:
    """Return what an error says at first; DuckDB adds advice for SQL authors below."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__
