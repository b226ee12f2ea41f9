"""CSV files as Parquet, in which each cell is a text: read once, strictly, by Python's csv module.

What is no RFC 4180 (in the form that the configuration gives) is refused with its line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from transak_drift.config.sections import CsvFormat
from transak_drift.local.dataset_files import DatasetError

# The line that a row begins on; a name that no column of the user's has.
LINE = "transak_drift line of the row"
_SEPARATORS = (",", ";", "\t", "|")
_START_CHARACTERS = 1 << 20
_ROWS_IN_MEMORY = 50_000
_MAX_SHOWN_CHARACTERS = 80
csv.field_size_limit(1 << 21)


def convert_csv(
    path: Path, csv_format: CsvFormat, names: Sequence[str], destination: Path
) -> list[str] | None:
    """Write a CSV's columns as `column0`, `column1`... and LINE; return the header's names.

    An empty cell is null. A file of 0 bytes, which has no header, gives None.
    """
    with _open_rows(path, csv_format, names) as rows:
        if not (header := _header(rows)):
            return None
        columns = [(f"column{i}", pa.string()) for i in range(len(header))]
        schema = pa.schema([*columns, (LINE, pa.int64())])
        with pq.ParquetWriter(destination, schema) as writer:
            while batch := list(islice(rows, _ROWS_IN_MEMORY)):
                *cells, lines = zip(*batch, strict=True)
                texts = [[cell or None for cell in column] for column in cells]
                writer.write_table(pa.table([*texts, lines], schema=schema))
        return header


def read_header(path: Path, csv_format: CsvFormat, names: Sequence[str]) -> list[str]:
    """Return the names in a CSV's header, none of a file of 0 bytes."""
    with _open_rows(path, csv_format, names) as rows:
        return _header(rows)


def _header(rows: Iterator[tuple[Any, ...]]) -> list[str]:
    return list(next(rows, ()))[:-1]


@contextmanager
def _open_rows(
    path: Path, csv_format: CsvFormat, names: Sequence[str]
) -> Generator[Iterator[tuple[Any, ...]]]:
    """Read a file as `_rows`; what cannot be read becomes a DatasetError."""
    try:
        with _open(path, csv_format) as file:
            start = file.read(_START_CHARACTERS)
            file.seek(0)
            yield _rows(path, file, csv_format.separator or _separator(start, names))
    except UnicodeError:
        raise _encoding_error(path, csv_format) from None
    except (OSError, EOFError, zlib.error) as error:
        problem = f"{path} cannot be read: {error}"
        raise DatasetError(problem, "write the file again, or make it readable") from None


def _separator(start: str, names: Sequence[str]) -> str:
    """Return the separator by which the header holds most of the names, or has most columns."""

    def fit(separator: str) -> tuple[int, int]:
        header = next(csv.reader(io.StringIO(start, newline=""), delimiter=separator), [])
        return len({*names} & {*header}), len(header)

    return max(_SEPARATORS, key=fit)


def _rows(path: Path, file: IO[str], separator: str) -> Iterator[tuple[Any, ...]]:
    """Read the rows, the header first, each with the line that it begins on as its last item."""
    reader = csv.reader(file, delimiter=separator, strict=True)
    width, line = 0, 1
    try:
        for row in reader:
            width = width or max(len(row), 1)
            if len(row) != width:
                row = _row_of_width(path, line, row, separator, width)
            if row:
                # A tuple of texts is none of the objects that the garbage collector looks through.
                yield (*row, line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {line}: a field in double quotes does not end well ({error})",
            "close the quotes, and write a quote within them twice",
        ) from None


def _row_of_width(path: Path, line: int, row: list[str], separator: str, width: int) -> list[str]:
    if not row:
        # A blank line is a row only where that may be one empty field.
        return [""] * (width == 1)
    if len(row) == width + 1 and not row[-1]:
        # Some programs end each line with a separator.
        return row[:-1]
    shown = separator.join(row)[:_MAX_SHOWN_CHARACTERS]
    raise DatasetError(
        f"{path}, line {line}: {shown!r} has {len(row)} field(s), the header {width}",
        f"correct the line; a field that holds {separator!r} stands in double quotes",
    )


def _open(path: Path, csv_format: CsvFormat | None) -> IO[Any]:
    """Open a file, perhaps compressed, as text of that form, or without a form as bytes."""
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    if csv_format is None:
        return opener(path, "rb")
    # The byte order mark of UTF-8 is no part of the first name.
    is_utf_8 = codecs.lookup(csv_format.encoding).name == "utf-8"
    encoding = "utf-8-sig" if is_utf_8 else csv_format.encoding
    return opener(path, "rt", encoding=encoding, newline="")


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
    if codecs.lookup(csv_format.encoding).name != "utf-8":
        example = "utf-8"
    return DatasetError(
        f"{place}: {cell!r} is not {csv_format.encoding}",
        f'name the encoding, such as "csv": {{"encoding": "{example}"}}, or save the file in UTF-8',
    )
