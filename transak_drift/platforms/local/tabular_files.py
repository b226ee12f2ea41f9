"""Parquet and CSV files as DuckDB relations of clean columns: text, or 64-bit floats.

The rules are the same for both formats, so that a dataset gives the same statistics in either:

- A categorical column becomes text. CSV cells are taken as they are written ("001" stays "001").
  Whole floats lose their ".0" and decimals their trailing zeros, so that the same number is the
  same text whether a column came as an integer, a float (as pandas makes of integers with nulls)
  or a decimal. Booleans are "true" and "false", dates and times are ISO 8601 (UTC).
- A numerical column becomes DOUBLE: integers beyond 2^53 and decimals are rounded to a double.
- A CSV field that is empty and not quoted is null; "" in quotes is the empty string, which is null
  in a numerical or date column, since it is no number or date.

CSV is RFC 4180 in UTF-8, with a header, separated by comma, semicolon, tab or vertical bar.
"""

from __future__ import annotations

import csv
import difflib
import glob
import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from transak_drift.core.feature_statistics import FeatureKind

SUFFIXES = (".parquet", ".csv", ".csv.gz")
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_HEADER = 1 << 20
_SAMPLED_CELLS = 10_000
_TEXT = "varchar"
_INTEGERS = frozenset(
    f"{sign}{size}int" for sign in ("", "u") for size in ("tiny", "small", "big", "huge")
)
_NUMBERS = _INTEGERS | {"integer", "uinteger", "float", "double", "decimal"}
_TIMES = frozenset(
    {"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
)
_NESTED = frozenset({"list", "array", "struct", "map", "union"})


class DatasetError(ValueError):
    """A dataset that cannot be read or measured; the message names the place and the fix."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Args:
        name: its name in the file.
        reference: the SQL that names it in the file's relation.
        type_id: DuckDB's name of its type in lower case, without parameters.
        type_name: the type in full, for people.
    """

    name: str
    reference: str
    type_id: str
    type_name: str

    @property
    def is_text(self) -> bool:
        """Whether cells are text, so that reading them as numbers or dates may fail."""
        return self.type_id == _TEXT

    @property
    def is_empty(self) -> bool:
        """Whether the file declares that the column holds nulls alone."""
        return self.type_id == "null"

    def as_text(self) -> str:
        """Return the SQL of a categorical value, VARCHAR."""
        text = f"CAST({self.reference} AS VARCHAR)"
        if self.type_id in ("float", "double"):
            whole = f"{self.reference} = trunc({self.reference}) AND abs({self.reference}) < 1e15"
            return (
                f"CASE WHEN {whole} THEN CAST(CAST({self.reference} AS BIGINT) AS VARCHAR) "
                f"ELSE {text} END"
            )
        if self.type_id == "decimal":
            # A type without digits before the point, as DECIMAL(2, 2), is written without the 0.
            full = f"regexp_replace({text}, '^(-?)[.]', '\\10.')"
            short = f"rtrim(rtrim({full}, '0'), '.')"
            return f"CASE WHEN contains({text}, '.') THEN {short} ELSE {text} END"
        return text

    def as_number(self, cast: str = "CAST") -> str:
        """Return the SQL of a numerical value, DOUBLE.

        Args:
            cast: `CAST`, or `TRY_CAST` for null where the text is no number.
        """
        if self.is_text:
            # DuckDB reads 1_000 as a number, which neither Python's csv readers nor Vertex AI do.
            return f"{cast}(nullif(replace({self.reference}, '_', '?'), '') AS DOUBLE)"
        return f"{cast}({self.reference} AS DOUBLE)"

    def as_timestamp(self, cast: str = "CAST") -> str:
        """Return the SQL of a date or time, of a type that compares with dates.

        Args:
            cast: `CAST`, or `TRY_CAST` for null where the text is no date.
        """
        return (
            f"{cast}(nullif({self.reference}, '') AS TIMESTAMP)" if self.is_text else self.reference
        )


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
        if column.type_id not in _NUMBERS | {_TEXT, "boolean", "null"}:
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
            numerical = column.type_id in _NUMBERS
            return FeatureKind.NUMERICAL if numerical else FeatureKind.CATEGORICAL
        relation, parameters = self.relation("sample")
        row = connection.execute(
            f"SELECT count(*), bool_and({column.as_number('TRY_CAST')} IS NOT NULL "
            f"AND NOT regexp_matches({column.reference}, '^[+-]?0[0-9]')) "
            f"FROM (SELECT {column.reference} FROM {relation} "
            f"WHERE {column.reference} <> '' LIMIT {_SAMPLED_CELLS})",
            parameters,
        ).fetchone()
        cells, numbers = row or (0, None)
        if not cells:
            return None
        return FeatureKind.NUMERICAL if numbers else FeatureKind.CATEGORICAL


def find_files(sources: Iterable[Path | str]) -> tuple[Path, ...]:
    """Find the Parquet and CSV files of a dataset.

    Args:
        sources: files, directories (searched with all below them) and glob patterns, local ones.

    Returns:
        The files, each once, in the order of the sources and sorted by name within each.

    Raises:
        DatasetError: a source does not exist, holds no such file, or is of another format.
    """
    found: dict[Path, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_files_of(source)))
    if not found:
        raise DatasetError("the dataset names no source; name a Parquet or CSV file")
    return tuple(found)


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


def _files_of(source: Path | str) -> list[Path]:
    text = str(source)
    if "://" in text:
        raise DatasetError(f"{text} is no local path; download it and name the local file")
    path = Path(text).expanduser()
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and _has_known_suffix(file)
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
        if not files:
            raise DatasetError(f"{text} has no {_known_suffixes()} file in it; name another")
        return [file.resolve() for file in files]
    if path.is_file():
        if not _has_known_suffix(path):
            raise DatasetError(f"{text} is of an unknown format; name a {_known_suffixes()} file")
        return [path.resolve()]
    if glob.has_magic(text):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - patterns may be absolute
        known = [match for match in matches if match.is_dir() or _has_known_suffix(match)]
        if known:
            return [file for match in known for file in _files_of(match)]
        raise DatasetError(f"no file matches {text}; correct the pattern")
    raise DatasetError(f"{text} does not exist; correct the path")


def _has_known_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _known_suffixes() -> str:
    return " or ".join((", ".join(SUFFIXES[:-1]), SUFFIXES[-1]))


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
        Column(name, f"column{index}", _TEXT, "text") for index, name in enumerate(header)
    )
    return delimiter, columns


def short_reason(error: duckdb.Error) -> str:
    """Return DuckDB's message without the query and the reader's settings.

    Args:
        error: what DuckDB raised.
    """
    return str(error).partition("\n\n")[0].partition("\nPossible fixes:")[0]


def quote_identifier(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has.

    Args:
        name: the name.
    """
    return '"' + name.replace('"', '""') + '"'
