"""Statistics of a dataset in Parquet or CSV files, exact, by DuckDB.

Only grouped counts come to Python, and DuckDB spills to disk what does not fit its memory, so the
memory does not grow with the rows. A numerical column is read again for its histogram, whose edges
are known then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from transak_drift.config.sections import CsvFormat
from transak_drift.drift.canonical_text import canonical_counts
from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import equal_width_edges
from transak_drift.local.column_checks import decide_kind, raise_for_number
from transak_drift.local.dataset_files import DatasetError, find_files
from transak_drift.local.tabular_files import Column, TabularFiles, open_reader


def scan_statistics(
    sources: Sequence[Path | str],
    features: Mapping[str, FeatureKind | None],
    *,
    csv_format: CsvFormat | None = None,
) -> DatasetStatistics:
    """Compute the statistics of a dataset.

    Args:
        sources: Parquet or CSV files (.parquet, .csv, .csv.gz), directories of them, or glob
            patterns; formats and orders of columns may be mixed.
        features: how each feature is measured; None decides it by the column, as for a baseline,
            see `transak_drift.local.column_checks.decide_kind`.
        csv_format: the form of CSV files; by default RFC 4180 in UTF-8.

    Returns:
        The statistics of the features, in their order. Categories are counted by their
        `transak_drift.drift.canonical_text.canonical_text`. The buckets of a numerical feature are
        those of numpy.histogram(values, bins=10) over its finite values as 64-bit floats.

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
            # A cursor of its own, as columns are read in several threads.
            with reader.connection.cursor() as connection:
                if kinds[name] is FeatureKind.NUMERICAL:
                    return _numerical_statistics(connection, columns)
                return _categorical_statistics(connection, columns)

        try:
            # While one column's groups are turned into Python's, another column is read.
            with ThreadPoolExecutor(2) as pool:
                found = dict(zip(kinds, pool.map(measure, kinds), strict=True))
        except duckdb.ConversionException:
            for name, kind in kinds.items():
                if kind is FeatureKind.NUMERICAL:
                    raise_for_number(reader, files, name)
            raise
        rows = sum(
            reader.connection.execute(f"SELECT count(*) FROM {group.relation()}").fetchall()[0][0]
            for group in files
        )
    try:
        return DatasetStatistics(rows, found)
    except ValueError as error:
        raise DatasetError(
            f"{paths[0]} changed while it was read ({error})", "read it again"
        ) from error


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
    connection: duckdb.DuckDBPyConnection, columns: Sequence[tuple[TabularFiles, Column]]
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
    )
