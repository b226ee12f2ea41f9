"""Statistics of a dataset in Parquet or CSV files, exact, by DuckDB.

Only grouped counts come to Python, and DuckDB spills to disk what does not fit its memory, so the
memory does not grow with the rows. The categorical features are counted and the numerical ones are
summarised, which together read each Parquet column once; the numerical columns alone are read again
for their histograms, whose edges are known then, and once more where they hold NaN or infinities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import duckdb
import pyarrow as pa

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
from transak_drift.local.tabular_files import DatasetReader, TabularFiles, open_reader


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
        return _Scan(reader, reader.connection, files, kinds).statistics()


@dataclass(frozen=True, slots=True)
class _Scan:
    """The queries of one dataset; `kinds` tells how each feature is measured."""

    reader: DatasetReader
    connection: duckdb.DuckDBPyConnection
    files: Sequence[TabularFiles]
    kinds: Mapping[str, FeatureKind]

    def statistics(self) -> DatasetStatistics:
        found: dict[str, FeatureStatistics] = {}
        try:
            # While one query's groups are turned into Python's, the other's columns are read.
            with self.connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
                beside = replace(self, connection=cursor)
                numerical = pool.submit(beside._numerical_statistics)
                found.update(self._categorical_statistics())
                found.update(numerical.result())
        except duckdb.ConversionException:
            raise_for_number(self.reader, self.files, self._names_of(FeatureKind.NUMERICAL))
            raise
        features = {name: found[name] for name in self.kinds}
        rows = next((int(item.present) + item.missing for item in features.values()), None)
        if rows is None:
            count = f"SELECT count(*) FROM ({self._numbers([])})"
            rows = self._fetch_one(count)[0] if self.files else 0
        try:
            return DatasetStatistics(rows, features)
        except ValueError as error:
            raise DatasetError(
                f"{self.files[0].paths[0]} changed while it was read ({error})", "read it again"
            ) from error

    def _categorical_statistics(self) -> dict[str, CategoricalStatistics]:
        names = self._names_of(FeatureKind.CATEGORICAL)
        counts: list[dict[str | None, int]] = [{} for _ in names]
        queries = [part for files in self.files for part in self._value_counts(files, names)]
        if queries:
            query = " UNION ALL ".join(queries)
            columns = [files.column(name) for files in self.files for name in names]
            if len(self.files) > 1 or not all(c.is_text and not c.is_untyped for c in columns):
                query = (
                    "SELECT index, value, CAST(sum(rows) AS BIGINT) AS rows "
                    f"FROM ({query}) GROUP BY index, value"
                )
            try:
                for batch in pa.RecordBatchReader.from_stream(self.connection.sql(query)):
                    places, values, rows = map(pa.Array.to_pylist, batch.columns)
                    for index in set(places):
                        own = [place == index for place in places]
                        counts[index].update(
                            zip(compress(values, own), compress(rows, own), strict=True)
                        )
            except (pa.ArrowException, OSError) as error:
                # So a stream reports what DuckDB fails of in the midst of it.
                raise duckdb.IOException(str(error)) from error
        return {
            name: CategoricalStatistics(*canonical_counts(counts[index]))
            for index, name in enumerate(names)
        }

    def _value_counts(self, files: TabularFiles, names: Sequence[str]) -> list[str]:
        """Return queries of index, value and rows; several values may have the same text."""
        columns = [files.measured_column(name, FeatureKind.CATEGORICAL) for name in names]
        texts = [column.as_text("value", self.reader.decimal) for column in columns]
        if files.separator is None or not names:
            # One column at a time, and as text only what is left of it.
            return [
                f"SELECT {index} AS index, {text} AS value, rows FROM (SELECT {column.reference} "
                f"AS value, count(*) AS rows FROM {files.relation()} GROUP BY value)"
                for index, (column, text) in enumerate(zip(columns, texts, strict=True))
            ]
        # A CSV is parsed as a whole for each query. GROUPING is 0 of the column that a row groups
        # by; the others are null in that row.
        references = [column.reference for column in columns]
        own = " ".join(f"WHEN GROUPING({name}) = 0 THEN {i}" for i, name in enumerate(references))
        return [
            f"SELECT index, {texts[0]} AS value, rows FROM (SELECT CASE {own} END AS index, "
            f"coalesce({', '.join(references)}) AS value, count(*) AS rows "
            f"FROM {files.relation()} "
            f"GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in references)}))"
        ]

    def _numerical_statistics(self) -> dict[str, NumericalStatistics]:
        names = self._names_of(FeatureKind.NUMERICAL)
        if not self.files:
            return dict.fromkeys(names, NumericalStatistics((), ()))
        summaries = self._summaries(names, ("0", "0", "0", "min({0})", "max({0})"))
        # DuckDB orders NaN above +inf, so that the bounds show any value that is not finite.
        unusual = {
            name
            for name, item in summaries.items()
            if not math.isfinite(item.minimum or 0.0) or not math.isfinite(item.maximum or 0.0)
        }
        summaries |= self._summaries(
            sorted(unusual),
            (
                "count(*) FILTER (isnan({0}))",
                "count(*) FILTER ({0} = CAST('-inf' AS DOUBLE))",
                "count(*) FILTER ({0} = CAST('inf' AS DOUBLE))",
                *(f"{name}({{0}}) FILTER (isfinite({{0}}))" for name in ("min", "max")),
            ),
        )
        edges = {
            name: equal_width_edges(item.minimum, item.maximum)
            for name, item in summaries.items()
            if item.minimum is not None and item.maximum is not None and item.minimum < item.maximum
        }
        counts = self._bucket_counts(edges, unusual)
        return {
            name: item.statistics(edges.get(name), counts.get(name))
            for name, item in summaries.items()
        }

    def _summaries(self, names: Sequence[str], aggregates: Sequence[str]) -> dict[str, _Summary]:
        """Return what the aggregates of each feature's values are, after rows and present ones."""
        if not names:
            return {}
        columns = [
            aggregate.format(f"value{index}")
            for index in range(len(names))
            for aggregate in ("count(*)", "count({0})", *aggregates)
        ]
        row = self._fetch_one(f"SELECT {', '.join(columns)} FROM ({self._numbers(names)})")
        width = len(columns) // len(names)
        return {
            name: _Summary(*row[index * width : (index + 1) * width])
            for index, name in enumerate(names)
        }

    def _bucket_counts(
        self, edges: Mapping[str, tuple[float, ...]], with_infinities_or_nan: Set[str]
    ) -> dict[str, tuple[int, ...]]:
        """Return how many finite values each bucket of a feature has."""
        if not edges:
            return {}
        parameters: dict[str, list[float]] = {}
        aggregates = []
        for index, (name, bounds) in enumerate(edges.items()):
            # DuckDB's buckets include their upper bound, numpy's (but the last) do not: below an
            # edge is at most the next lower float.
            inner = [math.nextafter(edge, -math.inf) for edge in bounds[1:-1]]
            parameters[f"bounds{index}"] = [*inner, bounds[-1]]
            finite = f" FILTER (isfinite(value{index}))" if name in with_infinities_or_nan else ""
            aggregates.append(f"map_values(histogram(value{index}, $bounds{index}){finite})")
        query = f"SELECT {', '.join(aggregates)} FROM ({self._numbers(list(edges))})"
        return dict(zip(edges, map(tuple, self._fetch_one(query, parameters)), strict=True))

    def _names_of(self, kind: FeatureKind) -> list[str]:
        return [name for name, its_kind in self.kinds.items() if its_kind is kind]

    def _fetch_one(self, query: str, parameters: Mapping[str, object] | None = None) -> tuple:
        return self.connection.execute(query, dict(parameters or {})).fetchall()[0]

    def _numbers(self, names: Sequence[str]) -> str:
        """Return the query of the columns `value0`, `value1`... of all files."""
        queries = []
        for files in self.files:
            values = [
                files.measured_column(name, FeatureKind.NUMERICAL).as_number(self.reader.decimal)
                + f" AS value{place}"
                for place, name in enumerate(names)
            ]
            queries.append(f"SELECT {', '.join(values or ['1'])} FROM {files.relation()}")
        return " UNION ALL ".join(queries)


@dataclass(frozen=True, slots=True)
class _Summary:
    """What one pass tells of a numerical feature, in the order of the query's aggregates."""

    rows: int
    present: int
    nan: int
    negative_infinities: int
    positive_infinities: int
    minimum: float | None
    maximum: float | None

    def statistics(
        self, edges: tuple[float, ...] | None, counts: tuple[int, ...] | None
    ) -> NumericalStatistics:
        """Return the statistics; without buckets where there are not two distinct finite values."""
        if edges is None or counts is None:
            finite = self.present - self.nan - self.negative_infinities - self.positive_infinities
            edges, counts = (), ()
            if self.minimum is not None and self.maximum is not None:
                edges, counts = (self.minimum, self.maximum), (finite,)
        return NumericalStatistics(
            edges=edges,
            counts=counts,
            negative_infinities=self.negative_infinities,
            positive_infinities=self.positive_infinities,
            nan=self.nan,
            missing=self.rows - self.present,
        )
