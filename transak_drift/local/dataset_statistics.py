"""Statistics of datasets in Parquet or CSV files, exact, by DuckDB.

Only grouped counts come to Python, and DuckDB spills to disk what does not fit its memory, so the
memory does not grow with the rows. A numerical column is read again for its histogram, whose edges
are known then.

Of a baseline they are stored, so that a run scans only its new data: in a gzip stream (RFC 1952),
whose checksum tells a damaged file, of two lines of JSON: the configuration that they were computed
with, and what `DatasetStatistics.to_json` writes.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.canonical_text import canonical_counts
from transak_drift.drift.chance import MAX_KEPT_NUMBERS, QUANTILES
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.local.atomic_file import replace_file
from transak_drift.local.column_checks import decide_kind, raise_for_number
from transak_drift.local.dataset_files import DatasetError, find_files
from transak_drift.local.tabular_files import Column, TabularFiles, open_reader

# Of more values, all of which are taken into memory, quantiles are estimated.
_MAX_SORTED = 1_000_000


def scan_statistics(
    sources: Sequence[Path | str],
    features: Mapping[str, FeatureKind | None],
    *,
    csv_format: CsvFormat | None = None,
    is_baseline: bool = False,
) -> DatasetStatistics:
    """Compute the statistics of a dataset, in the order of its features.

    Sources are Parquet or CSV files (.parquet, .csv, .csv.gz), directories of them, or glob
    patterns; formats and orders of columns may be mixed. A feature of kind None is measured as its
    column decides, see `column_checks.decide_kind`. Categories are counted by their canonical text;
    the buckets of a numerical feature are those of numpy.histogram(values, bins=10) over its finite
    values as 64-bit floats. Of a baseline the quantiles are kept as well, so that the distance by
    chance can be computed.

    Raises:
        DatasetError: a source is missing or unreadable, lacks a column, or has a cell that is no
            number where one is needed; names file, column, line and value.
    """
    paths = find_files(sources)
    with open_reader(csv_format or CsvFormat()) as reader:
        files = reader.open_files(paths, list(features))
        kinds = {
            name: kind or decide_kind(reader, name, files) or FeatureKind.CATEGORICAL
            for name, kind in features.items()
        }

        def measure(name: str) -> FeatureStatistics:
            columns = [(group, group.measured_column(name, kinds[name])) for group in files]
            stored = sorted({column.stored_as for _, column in columns} - {""})
            # A cursor of its own, as columns are read in several threads.
            with reader.connection.cursor() as connection:
                if kinds[name] is FeatureKind.NUMERICAL:
                    found = _numerical_statistics(connection, columns, is_baseline)
                else:
                    found = _categorical_statistics(connection, columns)
                return replace(found, stored_as=" and ".join(stored))

        try:
            # While one column's groups are turned into Python's, another column is read.
            with ThreadPoolExecutor(2) as pool:
                found = dict(zip(kinds, pool.map(measure, kinds), strict=True))
        except duckdb.ConversionException:
            raise_for_number(reader, files, kinds)
            raise
        rows = reader.count_rows(files)
    try:
        return DatasetStatistics(rows, found)
    except ValueError as error:
        raise DatasetError(
            f"{paths[0]} changed while it was read ({error})", "read it again"
        ) from error


def has_column(source: Path | str, name: str, csv_format: CsvFormat) -> bool:
    """Tell whether every file of a dataset has a column."""
    with open_reader(csv_format) as reader:
        files = reader.open_files(find_files([source]), [])
        return all(name in {column.name for column in group.columns} for group in files)


def _categorical_statistics(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[tuple[TabularFiles, Column]]
) -> CategoricalStatistics:
    if not columns:
        return CategoricalStatistics({})
    # Only what is left of the values is turned into text.
    query = " UNION ALL ".join(
        f"SELECT {column.as_text('value')} AS value, rows FROM (SELECT {column.reference} AS value,"
        f" count(*) AS rows FROM {files.relation()} GROUP BY value)"
        for files, column in columns
    )
    if len(columns) > 1 or not all(c.is_text and not c.is_untyped for _, c in columns):
        # Several values may have the same text.
        query = f"SELECT value, CAST(sum(rows) AS BIGINT) AS rows FROM ({query}) GROUP BY value"
    table = connection.sql(query).to_arrow_table()
    values, rows = (column.to_pylist() for column in table.columns)
    return CategoricalStatistics(*canonical_counts(dict(zip(values, rows, strict=True))))


def _numerical_statistics(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[tuple[TabularFiles, Column]],
    is_baseline: bool,
) -> NumericalStatistics:
    if not columns:
        return NumericalStatistics((), ())
    values = " UNION ALL ".join(
        f"SELECT {column.as_number()} AS value FROM {files.relation()}" for files, column in columns
    )
    source = f"(SELECT value, CASE WHEN isfinite(value) THEN value END AS finite FROM ({values}))"
    ((rows, present, finite, below, above, minimum, maximum),) = connection.execute(
        "SELECT count(*), count(value), count(finite), count(*) FILTER (value = '-inf'::DOUBLE), "
        "count(*) FILTER (value = 'inf'::DOUBLE), min(finite), max(finite) "
        f"FROM {source}"
    ).fetchall()
    edges, counts = (), ()
    if finite:
        edges, counts = (minimum, maximum), (finite,)
    if finite and minimum < maximum:
        edges = equal_width_edges(minimum, maximum)
        # DuckDB's buckets include their upper bound, numpy's (but the last) do not: below an edge
        # is at most the next lower float.
        bounds = [*(math.nextafter(edge, -math.inf) for edge in edges[1:-1]), maximum]
        ((found,),) = connection.execute(
            f"SELECT map_values(histogram(finite, $bounds)) FROM {source}", {"bounds": bounds}
        ).fetchall()
        counts = tuple(found)
    return NumericalStatistics(
        edges=edges,
        counts=counts,
        negative_infinities=below,
        positive_infinities=above,
        nan=present - finite - below - above,
        missing=rows - present,
        quantiles=_quantiles(connection, source, finite) if is_baseline else (),
    )


def _quantiles(
    connection: duckdb.DuckDBPyConnection, source: str, finite: int
) -> tuple[float, ...]:
    """Return all finite values, or the quantiles that windows are drawn from, the least first."""
    if finite > _MAX_SORTED:
        ((found,),) = connection.execute(
            f"SELECT approx_quantile(finite, {list(QUANTILES)}::FLOAT[]) FROM {source}"
        ).fetchall()
        return tuple(sorted(found))
    # Sorted here: DuckDB would take three times the memory.
    query = f"SELECT finite FROM {source} WHERE finite IS NOT NULL"
    numbers = np.sort(connection.execute(query).fetchnumpy()["finite"])
    if finite > MAX_KEPT_NUMBERS:
        numbers = numbers[(np.array(QUANTILES) * finite).astype(int)]
    return tuple(numbers.tolist())


def equal_width_edges(minimum: float, maximum: float) -> tuple[float, ...]:
    """Return the edges of ten equal-width buckets between two finite values, the lower first.

    Two cases that numpy.histogram refuses are defined here: a range wider than the greatest float
    is divided without overflow, and one too narrow for so many floats gets fewer buckets.
    """
    scale = 2.0 if math.isinf(maximum - minimum) else 1.0
    edges = np.linspace(minimum / scale, maximum / scale, 11) * scale
    return tuple(np.unique(edges).tolist())


class Baseline(NamedTuple):
    """The data that windows are compared with, named by the model version that learned from them.

    The predictions, where they are monitored, are those of that version on its own data.
    """

    name: str
    statistics: DatasetStatistics
    predictions: DatasetStatistics | None = None


def baseline_statistics(
    path: Path,
    features: Mapping[str, FeatureKind | None],
    csv_format: CsvFormat,
    find_rows: Callable[[], Sequence[Path]],
) -> DatasetStatistics:
    """Return the statistics of a baseline, computed once for each configuration of it.

    They are computed from the files of `find_rows` where none are stored, where the file is
    damaged, or where another feature, declared kind or form of CSV was configured.
    """
    configuration = json.dumps(
        {"features": features, "csv": csv_format.model_dump(), "quantiles": len(QUANTILES)}
    )

    def scan() -> DatasetStatistics:
        return scan_statistics(find_rows(), features, csv_format=csv_format, is_baseline=True)

    return stored_statistics(path, configuration, scan)


def stored_statistics(
    path: Path, configuration: str, compute: Callable[[], DatasetStatistics]
) -> DatasetStatistics:
    """Return the statistics of a file, computed where it is of another configuration or damaged."""
    try:
        found = path.stat()
        stored, statistics = _read_once(path, found.st_ino, found.st_mtime_ns, found.st_size)
        if stored == configuration:
            return statistics
    except (OSError, EOFError, zlib.error, ValueError):
        # Damaged or missing: the rows are kept, so that nothing is lost.
        pass
    statistics = compute()
    save_statistics(path, statistics, configuration)
    return statistics


def save_statistics(path: Path, statistics: DatasetStatistics, configuration: str = "{}") -> None:
    """Store statistics durably: the file has either its old content or all of the new one."""
    content = f"{configuration}\n{statistics.to_json()}"
    with replace_file(path) as temporary:
        temporary.write_bytes(gzip.compress(content.encode(), mtime=0))


def load_statistics(path: Path) -> DatasetStatistics:
    """Read what `save_statistics` stored; gzip, or ValueError, tells a damaged file."""
    return _read(path)[1]


@lru_cache(maxsize=4)
def _read_once(
    path: Path, _inode: int, _modified: int, _size: int
) -> tuple[str, DatasetStatistics]:
    """Read a file once in a process that monitors many windows with the same baseline."""
    return _read(path)


def _read(path: Path) -> tuple[str, DatasetStatistics]:
    configuration, _, text = gzip.decompress(path.read_bytes()).decode().partition("\n")
    return configuration, DatasetStatistics.from_json(text)
