"""Which kind a column of a baseline is, and the place of a value that does not fit its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.tabular_files import (
    NUMBERS,
    Column,
    DatasetReader,
    TabularFiles,
    declare_kind,
    origin_of,
    sql_text,
)

# Of an untyped column that holds so many numbers, another value is a fault and not a category.
_MIN_NUMERICAL_FRACTION = 0.9
_MAX_SHOWN_VALUES = 3
_MAX_FAULTY_ROWS = 10_000
_COMMA_NUMBER = r"\s*[-+]?([0-9]+|[0-9]{1,3}([.''’ \xA0][0-9]{3})+),[0-9]+\s*"
_GROUPED_NUMBER = r"\s*[-+]?[0-9]{1,3}([,''’ \xA0][0-9]{3})+(\.[0-9]+)?\s*"
_UNIT = r"([A-Z]{3}|[€$£%])?"
_PLAIN_NUMBER = r"\s*[-+]?[0-9]+([.][0-9]+)?\s*"
_AMOUNT = f"{_UNIT}({_COMMA_NUMBER}|{_GROUPED_NUMBER}|{_PLAIN_NUMBER}){_UNIT}"


def decide_kind(
    reader: DatasetReader, name: str, files: Sequence[TabularFiles]
) -> FeatureKind | None:
    """Decide how a column is measured; None of one without a value.

    By its type, a number is numerical and all else categorical. An untyped column is numerical
    where all its cells are numbers without the leading zero of a code; where but a few are, or all
    are numbers in another form, that is an error.
    """
    found: dict[FeatureKind, Path] = {}
    for group in files:
        column = group.column(name)
        kind: FeatureKind | None = FeatureKind.CATEGORICAL
        if column.type_id == "null":
            kind = None
        elif column.is_untyped and column.is_text:
            kind = _kind_of_cells(reader, column, group)
        elif column.type_id in NUMBERS:
            kind = FeatureKind.NUMERICAL
        if kind is not None:
            found.setdefault(kind, group.paths[0])
    if len(found) > 1:
        where = ", ".join(f"{kind} in {path}" for kind, path in found.items())
        raise DatasetError(f"column {name!r} is {where}", declare_kind(name))
    return next(iter(found), None)


def _kind_of_cells(
    reader: DatasetReader, column: Column, files: TabularFiles
) -> FeatureKind | None:
    text, no_number = column.reference, column.is_no_number(reader.decimal)
    is_code = f"regexp_matches({text}, '^\\s*[+-]?0[0-9]')"
    ((cells, others, codes, in_other_form),) = reader.connection.execute(
        f"SELECT count(*), count(*) FILTER ({no_number}), count(*) FILTER ({is_code}), "
        f"count(*) FILTER ({no_number} AND regexp_full_match({text}, '{_AMOUNT}')) "
        f"FROM {files.relation()} WHERE {text} IS NOT NULL AND NOT {column.is_missing_number()}"
    ).fetchall()
    if not cells:
        return None
    numbers = cells - others - codes
    if numbers == cells:
        return FeatureKind.NUMERICAL
    fix = declare_kind(column.name)
    if numbers >= _MIN_NUMERICAL_FRACTION * cells:
        problem = f"which is no number, unlike {numbers} of {cells} values"
        raise_for_value(reader, files, column.name, f"({no_number} OR {is_code})", problem, fix)
    if numbers + in_other_form >= _MIN_NUMERICAL_FRACTION * cells:
        problem = "which looks like a number in another form"
        raise_for_value(reader, files, column.name, no_number, problem, fix)
    return FeatureKind.CATEGORICAL


def raise_for_number(
    reader: DatasetReader, files: Sequence[TabularFiles], names: Sequence[str]
) -> None:
    """Raise for the first cell of the columns that should be a number and is not."""
    for group in files:
        for name in names:
            if group.column(name).is_text:
                condition = group.column(name).is_no_number(reader.decimal)
                declared = declare_kind(name, '"categorical"')
                fix = f"correct it, or leave it empty, or {declared}"
                raise_for_value(reader, group, name, condition, "which is no number", fix)


def raise_for_value(
    reader: DatasetReader, files: TabularFiles, name: str, condition: str, problem: str, fix: str
) -> None:
    """Raise for the first value that meets a condition, SQL, if there is one.

    Of a day that is kept as Parquet the error names the user's file.
    """
    column = files.column(name)
    for path, readable in zip(files.paths, files.readable, strict=True):
        single = replace(files, paths=(path,), readable=(readable,))
        faulty = _rows_where(reader, single, column, condition)
        if faulty:
            value = faulty[0][1]
            others = [repr(cell) for cell in dict.fromkeys(cell for _, cell in faulty)][1:]
            more = f" (also {', '.join(others[: _MAX_SHOWN_VALUES - 1])})" if others else ""
            place = _place_in_source(reader, path, name, value)
            place = place or reader.place(single, faulty[0][0])
            if column.is_untyped and value is not None:
                fix = _fix_of_form(reader, value, fix)
            raise DatasetError(f"{place}: column {name!r} holds {value!r}{more}, {problem}", fix)


def _rows_where(
    reader: DatasetReader, file: TabularFiles, column: Column, condition: str
) -> list[tuple[int, str | None]]:
    return reader.connection.execute(
        f"SELECT row, cell FROM (SELECT row_number() OVER () AS row, "
        f"CAST({column.reference} AS VARCHAR) AS cell, {condition} AS found "
        f"FROM {file.relation()}) WHERE found ORDER BY row"
    ).fetchmany(_MAX_FAULTY_ROWS)


def _place_in_source(reader: DatasetReader, path: Path, name: str, value: str | None) -> str | None:
    """Find a value of a kept day in the user's files that its rows came from."""
    for source in map(Path, origin_of(path)["sources"]):
        try:
            (file,) = reader.open_files([source], [name])
        except DatasetError:
            # It was removed or replaced since.
            continue
        column = file.column(name)
        is_value = f"{column.reference} IS NULL"
        if value is not None:
            is_value = f"CAST({column.reference} AS VARCHAR) = {sql_text(value)}"
        if rows := _rows_where(reader, file, column, is_value):
            return reader.place(file, rows[0][0])
    return None


def _fix_of_form(reader: DatasetReader, value: str, fix: str) -> str:
    ((comma, grouped),) = reader.connection.execute(
        f"SELECT regexp_full_match($value, '{_COMMA_NUMBER}'), "
        f"regexp_full_match($value, '{_GROUPED_NUMBER}')",
        {"value": value},
    ).fetchall()
    if comma and reader.decimal == ".":
        return f'set "csv": {{"decimal": ","}} where the comma is the decimal mark; or {fix}'
    if grouped:
        return f"write numbers without marks between the thousands; or {fix}"
    if reader.decimal == ",":
        return f'write numbers with the comma that "csv": {{"decimal": ","}} asks for; or {fix}'
    return fix
