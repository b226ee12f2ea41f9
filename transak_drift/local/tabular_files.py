"""Reads Parquet and CSV with DuckDB: schemas, columns as SQL, and what DuckDB fails of.

A CSV has no types: its columns are untyped text, and stay so in the Parquet files that windows are
kept in (see `write_rows`), which also name the files that their rows came from.
"""

from __future__ import annotations

import atexit
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.csv_files import convert_csv, read_header
from transak_drift.local.dataset_files import DatasetError

_METADATA_KEY = "transak_drift"
_TEXT = "varchar"
_GROUPED = "[0-9]{1,3}([.][0-9]{3})+"
NESTED_TYPES = {"list", "array", "struct", "map", "union"}
# What files write for "no number"; in a numerical column it is missing, as an empty field is.
_MISSING_NUMBERS = ("", "n/a", "na", "#n/a", "#na", "<na>", "null", "none", "nil", "-")


def sql_name(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file, and the SQL of its values as texts and as numbers.

    `reference` names it in the file's relation; `type_name` is DuckDB's type in full, for people,
    and `type_id` without parameters. The text of an untyped column came from a CSV, where numbers
    are text too, with the decimal mark of the configuration.
    """

    name: str
    reference: str
    decimal: str
    type_id: str = _TEXT
    type_name: str = "text"
    is_untyped: bool = True

    @property
    def is_text(self) -> bool:
        return self.type_id == _TEXT

    @property
    def is_number(self) -> bool:
        return self.type_id in ("integer", "uinteger", "float", "double", "decimal") or (
            self.type_id.endswith("int")
        )

    @property
    def stored_as(self) -> str:
        """The type for people, alike for all numbers and times; empty where only cells tell."""
        if self.type_id == "null" or (self.is_text and self.is_untyped):
            return ""
        if self.is_number:
            return "number"
        is_time = self.type_id.startswith(("date", "time"))
        return "text" if self.is_text else "time" if is_time else self.type_id

    def as_text(self, value: str) -> str:
        """Return the SQL of a value's text, from which `canonical_text` makes the category."""
        if self.type_id == "blob":
            return f"coalesce(try(decode({value})), CAST({value} AS VARCHAR))"
        if self.is_untyped and self.decimal == ",":
            is_number = f"regexp_full_match({value}, '-?([0-9]+|{_GROUPED}),[0-9]+')"
            point = f"replace(replace({value}, '.', ''), ',', '.')"
            return f"CASE WHEN {is_number} THEN {point} ELSE {value} END"
        return value if self.is_text else f"CAST({value} AS VARCHAR)"

    def as_number(self, cast: str = "CAST") -> str:
        """Return the SQL of a numerical value, DOUBLE; with `TRY_CAST` null where it is none."""
        if not self.is_text:
            return f"{cast}({self.reference} AS DOUBLE)"
        # DuckDB reads 1_000 as a number, which neither Python's csv readers nor Vertex AI do.
        text = f"replace({self.reference}, '_', '?')"
        if self.is_untyped and self.decimal == ",":
            grouped = f"regexp_full_match(trim({text}), '[-+]?{_GROUPED},[0-9]+')"
            point = f"CASE WHEN {grouped} THEN '' ELSE '?' END"
            text = f"replace(replace({text}, '.', {point}), ',', '.')"
        return f"CASE WHEN {self.is_missing_number()} THEN NULL ELSE {cast}({text} AS DOUBLE) END"

    def is_missing_number(self) -> str:
        """Return the SQL that is true where a text stands for no number."""
        return f"lower(trim({self.reference})) IN ({', '.join(map(sql_text, _MISSING_NUMBERS))})"

    def is_no_number(self) -> str:
        """Return the SQL that is true where a text is neither a number nor missing."""
        if not self.is_text:
            return "false"
        number = self.as_number("TRY_CAST")
        return (
            f"{self.reference} IS NOT NULL AND NOT {self.is_missing_number()} AND {number} IS NULL"
        )


@dataclass(frozen=True, slots=True)
class TabularFiles:
    """Files of one schema; `readable` is what DuckDB reads of each: itself, or a CSV's Parquet."""

    paths: tuple[Path, ...]
    readable: tuple[Path, ...]
    columns: tuple[Column, ...]

    @property
    def source(self) -> str:
        """The first file, for people: of a kept window the user's own, not that it is kept in."""
        return next(iter(origin_of(self.paths[0])["sources"]), str(self.paths[0]))

    def relation(self) -> str:
        """Return the SQL of the table function that reads the files, in their order."""
        names = ", ".join(sql_text(glob.escape(str(path))) for path in self.readable)
        return f"read_parquet([{names}], hive_partitioning = false)"

    def column(self, name: str) -> Column:
        """Return a column by its name, exactly as in the file."""
        found = [column for column in self.columns if column.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            problem = f"{self.source}: column {name!r} is there {len(found)} times"
            raise DatasetError(problem, "rename one")
        names = ", ".join(repr(column.name) for column in self.columns)
        raise DatasetError(
            f"{self.source}: has no column {name!r}; its columns are {names}",
            "add it, or correct the name in the configuration; upper and lower case count",
        )

    def measured_column(self, name: str, kind: FeatureKind) -> Column:
        """Return the column of a feature, if its type can be measured in that way."""
        column = self.column(name)
        place = f"{self.source}: column {name!r} is of type {column.type_name}, which"
        if column.type_id in NESTED_TYPES:
            problem = f"{place} holds several values in a row"
            raise DatasetError(problem, "write them to columns of their own")
        may_be_number = column.is_number or column.type_id in (_TEXT, "boolean", "null")
        if kind is FeatureKind.NUMERICAL and not may_be_number:
            raise DatasetError(
                f"{place} is not numerical", f"write numbers, or {declare_kind(name)}"
            )
        return column


@dataclass(frozen=True, slots=True)
class DatasetReader:
    """Opens files with one DuckDB connection; see `open_reader`."""

    connection: duckdb.DuckDBPyConnection
    csv_format: CsvFormat
    directory: Path
    opened: list[Path] = field(default_factory=list)
    # By file what tells its content apart, from before it was read.
    states: dict[Path, str] = field(default_factory=dict)

    def open_files(self, paths: Sequence[Path], names: Sequence[str]) -> tuple[TabularFiles, ...]:
        """Put files of the same schema together; each must have the columns of the names.

        A CSV file of 0 bytes has no schema and is left out.
        """
        groups: dict[tuple[Column, ...], list[tuple[Path, Path]]] = {}
        for path in paths:
            self.opened.append(path)
            self.states.setdefault(path, file_state(path))
            readable = path
            if path.suffix.lower() == ".parquet":
                columns = self._parquet_columns(path)
            else:
                readable = self.directory / f"{len(self.opened)}.parquet"
                header = convert_csv(path, self.csv_format, names, readable)
                if header is None:
                    continue
                columns = tuple(
                    Column(name, f"column{i}", self.csv_format.decimal)
                    for i, name in enumerate(header)
                )
            groups.setdefault(columns, []).append((path, readable))
        files = tuple(
            TabularFiles(*map(tuple, zip(*members, strict=True)), columns)
            for columns, members in groups.items()
        )
        for group in files:
            for name in names:
                group.column(name)
        return files

    def read_schema(self, path: Path, names: Sequence[str]) -> TabularFiles:
        """Return a file with its columns alone; some that it may have tell how it is separated."""
        self.opened.append(path)
        if path.suffix.lower() == ".parquet":
            return TabularFiles((path,), (), self._parquet_columns(path))
        header = read_header(path, self.csv_format, names)
        columns = [Column(name, sql_name(name), self.csv_format.decimal) for name in header]
        return TabularFiles((path,), (), tuple(columns))

    def _parquet_columns(self, path: Path) -> tuple[Column, ...]:
        try:
            relation = TabularFiles((path,), (path,), ()).relation()
            self.connection.execute(f"SELECT * FROM {relation} LIMIT 0")
        except duckdb.Error as error:
            raise DatasetError(
                f"{path} is no readable Parquet file: {_short_reason(error)}", "write it again"
            ) from None
        untyped, decimal = set(origin_of(path)["untyped"]), self.csv_format.decimal
        return tuple(
            Column(name, sql_name(name), decimal, type_.id, str(type_), name in untyped)
            for name, type_, *_ in self.connection.description or ()
        )

    def count_rows(self, files: Sequence[TabularFiles]) -> int:
        counts = [f"(SELECT count(*) FROM {group.relation()})" for group in files]
        ((rows,),) = self.connection.execute(f"SELECT {' + '.join(['0', *counts])}").fetchall()
        return rows

    def write_rows(self, query: str, files: Sequence[TabularFiles], destination: Path) -> int:
        """Write the rows of a query over the files to Parquet, with their origin.

        The query's columns have the files' names. Returns the number of rows.
        """
        columns = [column for group in files for column in group.columns]
        typed = {column.name for column in columns if column.is_text and not column.is_untyped}
        origin = {
            "untyped": sorted({c.name for c in columns if c.is_untyped} - typed),
            "sources": [str(path) for group in files for path in group.paths],
            "csv": self.csv_format.model_dump(),
            "state": files_state({p: self.states[p] for group in files for p in group.paths}),
        }
        self.connection.execute(
            f"COPY ({query}) TO {sql_text(str(destination))} (FORMAT parquet, COMPRESSION zstd, "
            f"KV_METADATA {{{_METADATA_KEY}: {sql_text(json.dumps(origin))}}})"
        )
        return pq.read_metadata(destination).num_rows


@contextmanager
def open_reader(csv_format: CsvFormat) -> Generator[DatasetReader]:
    """Open a reader; what DuckDB raises within the block becomes a DatasetError."""
    with (
        tempfile.TemporaryDirectory(prefix="transak-drift-csv-") as directory,
        _database().cursor() as connection,
    ):
        reader = DatasetReader(connection, csv_format, Path(directory))
        try:
            yield reader
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                _database.cache_clear()
            fix = "correct the file at that place"
            if isinstance(error, duckdb.OutOfMemoryException):
                fix = "free memory or disk space"
            place = f"{reader.opened[0]} (the first of {len(reader.opened)} file(s))"
            raise DatasetError(f"{place} cannot be read: {_short_reason(error)}", fix) from error


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return this process's database in memory: opening one takes as long as a small scan.

    It spills to a directory of its own, loads no extension, and keeps nothing of what it has read.
    """
    spill = tempfile.TemporaryDirectory(prefix="transak-drift-scan-")
    atexit.register(spill.cleanup)
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_file_cache": False,
            "temp_directory": spill.name,
        },
    )
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


# Its threads would be missing in a forked process, which waits for them when it closes it.
os.register_at_fork(before=_database.cache_clear)


def file_state(path: Path) -> str:
    """Return what is another once a file is written again; empty where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def files_state(states: Mapping[Path, str]) -> str:
    """Return what is another once any of the files is, or there are others."""
    parts = [f"{path}\x1f{state}" for path, state in sorted(states.items())]
    return hashlib.sha256("\x1e".join(parts).encode(errors="surrogateescape")).hexdigest()


def is_current(path: Path, csv_format: CsvFormat) -> bool:
    """Return whether a kept window, if it came from CSV, was read with this form of CSV."""
    origin = origin_of(path)
    return not origin["untyped"] or origin["csv"] == csv_format.model_dump()


def origin_of(path: Path) -> dict[str, Any]:
    """Return what `write_rows` noted in a Parquet file, or nothing of another file."""
    found = None
    if path.suffix.lower() == ".parquet":
        # DuckDB reads files that Arrow refuses, for example without a valid schema of Arrow's.
        with suppress(pa.ArrowException, OSError):
            found = (pq.read_metadata(path).metadata or {}).get(_METADATA_KEY.encode())
    return json.loads(found) if found else {"untyped": [], "sources": []}


def declare_kind(name: str, kind: str = '"categorical" or "numerical"') -> str:
    """Return the fix that declares how a feature is measured."""
    return f'declare the feature: "feature_types": {{"{name}": {kind}}}'


def _short_reason(error: duckdb.Error) -> str:
    """Return DuckDB's message in one line, without the query and the reader's settings."""
    text = str(error).partition("\n\n")[0].partition("\nPossible fixes:")[0]
    return " ".join(text.split()).removeprefix("Invalid Input Error: ")
