"""Which kind a column of a baseline is, and the place of a value that does not fit its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from transak_drift.drift.feature_statistics import FeatureKind
from transak_drift.local.csv_files import LINE
from transak_drift.local.dataset_files import DatasetError
from transak_drift.local.tabular_files import (
    Column,
    DatasetReader,
    TabularFiles,
    declare_kind,
    origin_of,
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
    found: dict[FeatureKind, str] = {}
    for group in files:
        column = group.column(name)
        if column.type_id == "null":
            continue
        kind: FeatureKind | None = FeatureKind.CATEGORICAL
        if column.is_untyped and column.is_text:
            kind = _kind_of_cells(reader, column, group)
        elif column.is_number:
            kind = FeatureKind.NUMERICAL
        if kind is not None:
            found.setdefault(kind, group.source)
    if len(found) > 1:
        where = ", ".join(f"{kind} in {source}" for kind, source in found.items())
        raise DatasetError(f"column {name!r} is {where}", declare_kind(name))
    return next(iter(found), None)


def _kind_of_cells(
    reader: DatasetReader, column: Column, files: TabularFiles
) -> FeatureKind | None:
    text, no_number = column.reference, column.is_no_number()
    ((cells, others, codes, in_other_form),) = reader.connection.execute(
        f"SELECT count(*), count(*) FILTER ({no_number}), count(*) FILTER ({_is_code(column)}), "
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
        raise_for_value(reader, files, column.name, _is_no_number_or_code, problem, fix)
    if numbers + in_other_form >= _MIN_NUMERICAL_FRACTION * cells:
        problem = "which looks like a number in another form"
        raise_for_value(reader, files, column.name, Column.is_no_number, problem, fix)
    return FeatureKind.CATEGORICAL


def _is_code(column: Column) -> str:
    return f"regexp_matches({column.reference}, '^\\s*[+-]?0[0-9]')"


def _is_no_number_or_code(column: Column) -> str:
    return f"({column.is_no_number()} OR {_is_code(column)})"


def raise_for_number(
    reader: DatasetReader, files: Sequence[TabularFiles], kinds: Mapping[str, FeatureKind]
) -> None:
    """Raise for the first cell of a numerical column that is no number."""
    for name in (name for name, kind in kinds.items() if kind is FeatureKind.NUMERICAL):
        declared = declare_kind(name, '"categorical"')
        fix = f"correct it, or leave it empty, or {declared}"
        for group in files:
            raise_for_value(reader, group, name, Column.is_no_number, "which is no number", fix)


def raise_for_value(
    reader: DatasetReader,
    files: TabularFiles,
    name: str,
    condition: Callable[[Column], str],
    problem: str,
    fix: str,
) -> None:
    """Raise for the first value that meets a condition, SQL, if there is one.

    Of a window kept as Parquet the error names the user's file, if that still has the value.
    """
    for file in _single_files(reader, files, name):
        column, is_csv = file.column(name), file.paths != file.readable
        row = f'"{LINE}"' if is_csv else "row_number() OVER ()"
        faulty = reader.connection.execute(
            f"SELECT row, cell FROM (SELECT {row} AS row, CAST({column.reference} AS VARCHAR) AS "
            f"cell, {condition(column)} AS found FROM {file.relation()}) WHERE found ORDER BY row"
        ).fetchmany(_MAX_FAULTY_ROWS)
        if faulty:
            (number, value), *_ = faulty
            others = [repr(cell) for cell in dict.fromkeys(cell for _, cell in faulty)][1:]
            more = f" (also {', '.join(others[: _MAX_SHOWN_VALUES - 1])})" if others else ""
            if column.is_untyped and value is not None:
                fix = _fix_of_form(reader, column, value, fix)
            place = f"{file.paths[0]}, {'line' if is_csv else 'row'} {number}"
            raise DatasetError(f"{place}: column {name!r} holds {value!r}{more}, {problem}", fix)


def _single_files(reader: DatasetReader, files: TabularFiles, name: str) -> Iterator[TabularFiles]:
    """Open each of the files alone, after those of the user's that its rows came from."""
    for path, readable in zip(files.paths, files.readable, strict=True):
        for source in origin_of(path)["sources"]:
            # It may have been removed or replaced since.
            with suppress(DatasetError):
                opened = reader.open_files([Path(source)], [name])
                yield from opened
        yield replace(files, paths=(path,), readable=(readable,))


def _fix_of_form(reader: DatasetReader, column: Column, value: str, fix: str) -> str:
    ((comma, grouped),) = reader.connection.execute(
        f"SELECT regexp_full_match($value, '{_COMMA_NUMBER}'), "
        f"regexp_full_match($value, '{_GROUPED_NUMBER}')",
        {"value": value},
    ).fetchall()
    if comma and column.decimal == ".":
        return f'set "csv": {{"decimal": ","}} where the comma is the decimal mark; or {fix}'
    if grouped:
        return f"write numbers without marks between the thousands; or {fix}"
    if column.decimal == ",":
        return f'write numbers with the comma that "csv": {{"decimal": ","}} asks for; or {fix}'
    return fix
