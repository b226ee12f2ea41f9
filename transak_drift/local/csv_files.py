"""CSV files before DuckDB reads them, and the line of a fault afterwards.

DuckDB reads UTF-8 whose lines end in one way; told otherwise, or not told, it may lose rows without
a word. A file of another form is therefore copied in that form first.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from transak_drift.config.sections import CsvFormat
from transak_drift.local.dataset_files import DatasetError

_SEPARATORS = (",", ";", "\t", "|")
_CHUNK_CHARACTERS = 1 << 20
_MAX_SHOWN_CHARACTERS = 80


def prepare_csv(path: Path, csv_format: CsvFormat, copy: Path) -> Path:
    """Return a file with the same cells that DuckDB can read: the file itself, or the copy.

    In the copy each line ends with a line feed, also within a cell.
    """
    if _is_utf_8(csv_format) and _has_uniform_lines(path, csv_format):
        return path
    with copy.open("w", encoding="utf-8", newline="") as target:
        for chunk in _chunks(path, csv_format):
            target.write(chunk.replace("\r\n", "\n").replace("\r", "\n"))
    return copy


def read_header(
    path: Path, csv_format: CsvFormat, names: Sequence[str]
) -> tuple[str, tuple[str, ...]] | None:
    """Return the separator and the columns' names, or None of a file of 0 bytes.

    Where no separator is configured, it is the one with which the header line holds most of the
    names, or else has most columns.
    """
    start = next(_chunks(path, csv_format), "")
    if not start:
        return None
    found: list[tuple[str, tuple[str, ...]]] = []
    for separator in (csv_format.separator,) if csv_format.separator else _SEPARATORS:
        try:
            reader = csv.reader(start.splitlines(keepends=True), delimiter=separator)
            found.append((separator, tuple(next(reader, ()))))
        except csv.Error as error:
            problem = f"{path}, line 1: is no CSV header ({error})"
            raise DatasetError(problem, "correct the line") from None
    return max(found, key=lambda item: (len({*names} & {*item[1]}), len(item[1])))


def malformed_row(path: Path, csv_format: CsvFormat, separator: str) -> DatasetError | None:
    """Look for the first row that is no CSV or has another number of fields than the header."""
    width = None
    try:
        for line, row in _rows(path, csv_format, separator):
            width = width or len(row)
            if len(row) != width and row:
                shown = separator.join(row)[:_MAX_SHOWN_CHARACTERS]
                return DatasetError(
                    f"{path}, line {line}: {shown!r} has {len(row)} field(s), the header {width}",
                    f"correct the line; a field that holds {separator!r} stands in double quotes",
                )
    except DatasetError as error:
        return error
    return None


def line_of_row(path: Path, csv_format: CsvFormat, separator: str, number: int) -> int:
    """Return the line on which a row begins; row 1 is the first below the header."""
    width, count = 1, -1
    for line, row in _rows(path, csv_format, separator):
        width = len(row) if count < 0 else width
        # DuckDB passes over blank lines too, unless a blank line is a row of one empty field.
        count += bool(row) or width == 1
        if count == number:
            return line
    return number + 1


def _rows(path: Path, csv_format: CsvFormat, separator: str) -> Iterator[tuple[int, list[str]]]:
    with _open(path, csv_format) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        line = 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise DatasetError(
                f"{path}, line {line}: a field in double quotes does not end well ({error})",
                "close the quotes, and write a quote within them twice",
            ) from None


def _is_utf_8(csv_format: CsvFormat) -> bool:
    return csv_format.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _open(path: Path, csv_format: CsvFormat | None) -> IO[Any]:
    """Open a file, perhaps compressed, as text of that form, or without a form as bytes."""
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    if csv_format is None:
        return opener(path, "rb")
    # The byte order mark of UTF-8 is no part of the first name.
    encoding = "utf-8-sig" if _is_utf_8(csv_format) else csv_format.encoding
    return opener(path, "rt", encoding=encoding, newline="")


def _chunks(path: Path, csv_format: CsvFormat) -> Iterator[str]:
    """Read a file piece by piece; no piece ends within a line end."""
    try:
        with _open(path, csv_format) as file:
            while chunk := file.read(_CHUNK_CHARACTERS):
                yield chunk + file.read(1) if chunk.endswith("\r") else chunk
    except UnicodeError:
        raise _encoding_error(path, csv_format) from None
    except (OSError, EOFError, zlib.error) as error:
        problem = f"{path} cannot be read: {error}"
        raise DatasetError(problem, "write the file again, or make it readable") from None


def _has_uniform_lines(path: Path, csv_format: CsvFormat) -> bool:
    feeds = returns = both = 0
    for chunk in _chunks(path, csv_format):
        feeds += chunk.count("\n")
        if "\r" in chunk:
            returns += chunk.count("\r")
            both += chunk.count("\r\n")
    return returns == 0 or feeds == returns == both


def _encoding_error(path: Path, csv_format: CsvFormat) -> DatasetError:
    place, cell = f"{path}", b"the content"
    with _open(path, None) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(csv_format.encoding)
            except UnicodeError as error:
                start = getattr(error, "start", 0)
                place, cell = f"{path}, line {number}", line[max(start - 20, 0) : start + 20]
                break
    example = "utf-16" if cell.startswith((b"\xff\xfe", b"\xfe\xff")) else "windows-1252"
    return DatasetError(
        f"{place}: {cell!r} is not {csv_format.encoding}",
        f'name the encoding, such as "csv": {{"encoding": "{example}"}}, or save the file in UTF-8',
    )
