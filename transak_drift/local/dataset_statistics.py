"""Statistics of a dataset in Parquet or CSV files, exact, by DuckDB.

Only grouped counts come to Python, and DuckDB spills to disk what does not fit its memory, so the
memory does not grow with the rows. The categorical features are counted and the numerical ones are
summarised, which together read each Parquet column once; the numerical columns alone are read again
for their histograms, whose edges are known then, and once more where they hold NaN or infinities.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Generator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import compress
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa

from transak_drift.drift.feature_statistics import (
    CategoricalStatistics,
    DatasetStatistics,
    FeatureKind,
    FeatureStatistics,
    NumericalStatistics,
)
from transak_drift.drift.histogram import equal_width_edges
from transak_drift.local.dataset_files import DatasetError, find_files
from transak_drift.local.tabular_files import TabularFiles, read_schemas, short_reason


def scan_statistics(
    sources: Sequence[Path | str],
    features: Mapping[str, FeatureKind | None],
    *,
    date_column: str | None = None,
    days: tuple[date, date] | None = None,
    memory_limit: str | None = None,
) -> DatasetStatistics:
    """Compute the statistics of a dataset.

    Args:
        sources: Parquet or CSV files (.parquet, .csv, .csv.gz), directories of them, or glob
            patterns; formats and orders of columns may be mixed.
        features: how each feature is measured; None takes it from the column's type, see
            `transak_drift.local.tabular_files.TabularFiles.detect_kind`.
        date_column: column with the day of a row; goes with `days`.
        days: first and last day of the rows to take, inclusive; rows without a date are in no day.
        memory_limit: the most memory DuckDB may use before it spills to disk, e.g. `2GB`; by
            default 80 % of the machine's.

    Returns:
        The statistics of the features, in their order. Values are turned to text and numbers as
        `transak_drift.local.tabular_column` says. The buckets of a numerical feature are
        those of numpy.histogram(values, bins=10) over its finite values as 64-bit floats.

    Raises:
        DatasetError: a source is missing or unreadable, lacks a column, or has a cell that is no
            number (or date) where one is needed; names file, column, row and value.
        ValueError: only one of `date_column` and `days` is given, the days are reversed, or the
            memory limit is no size.
    """
    if (date_column is None) != (days is None):
        raise ValueError(
            f"date_column = {date_column!r} and days = {days!r}: give both of them or none"
        )
    if days is not None and days[0] > days[1]:
        raise ValueError(f"days = {days[0]} to {days[1]}: the first day is after the last")
    paths = find_files([sources] if isinstance(sources, str | Path) else sources)
    names = [*features, *([date_column] if date_column is not None else [])]
    with _connect(memory_limit) as connection:
        files = read_schemas(paths, names, connection)
        try:
            kinds = {
                name: FeatureKind(kind) if kind is not None else _detect(name, files, connection)
                for name, kind in features.items()
            }
            scan = _Scan(connection, files, kinds, date_column, days)
            return scan.statistics()
        except duckdb.OutOfMemoryException as error:
            raise DatasetError(
                f"the scan of {paths[0]} ran out of memory ({short_reason(error)}); "
                "raise memory_limit or free disk space"
            ) from error
        except duckdb.Error as error:
            raise DatasetError(
                f"the scan of {_names(paths)} failed: {short_reason(error)}; correct the file"
            ) from error


@contextmanager
def _connect(memory_limit: str | None) -> Generator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that spills to a directory of its own and loads no extension."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    with tempfile.TemporaryDirectory(prefix="transak-drift-scan-") as spill:
        settings["temp_directory"] = spill
        try:
            connection = duckdb.connect(":memory:", config=settings)
        except duckdb.Error as error:
            raise ValueError(
                f"memory_limit = {memory_limit!r} is no size ({short_reason(error)}); "
                "write one as 2GB"
            ) from None
        with connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            yield connection


def _names(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"


def _detect(
    name: str, files: Sequence[TabularFiles], connection: duckdb.DuckDBPyConnection
) -> FeatureKind:
    found: dict[FeatureKind, Path] = {}
    for group in files:
        kind = group.detect_kind(name, connection)
        if kind is not None:
            found.setdefault(kind, group.paths[0])
    if len(found) > 1:
        where = ", ".join(f"{kind} in {path}" for kind, path in found.items())
        raise DatasetError(
            f"column {name!r} is {where}; declare the feature's type in feature_types"
        )
    return next(iter(found), FeatureKind.CATEGORICAL)


@dataclass(frozen=True, slots=True)
class _Scan:
    """The queries of one dataset; `kinds` tells how each feature is measured."""

    connection: duckdb.DuckDBPyConnection
    files: Sequence[TabularFiles]
    kinds: Mapping[str, FeatureKind]
    date_column: str | None
    days: tuple[date, date] | None

    def statistics(self) -> DatasetStatistics:
        if not self.files:
            empty: dict[FeatureKind, FeatureStatistics] = {
                FeatureKind.CATEGORICAL: CategoricalStatistics({}),
                FeatureKind.NUMERICAL: NumericalStatistics((), (), None, None),
            }
            return DatasetStatistics(0, {name: empty[kind] for name, kind in self.kinds.items()})
        found: dict[str, FeatureStatistics] = {}
        try:
            if FeatureKind.CATEGORICAL not in self.kinds.values():
                rows, numerical = self._numerical_statistics()
                found.update(numerical)
            elif FeatureKind.NUMERICAL not in self.kinds.values():
                found.update(self._categorical_statistics())
                first = next(iter(found.values()))
                rows = int(first.present) + first.missing
            else:
                # While one query's groups are turned into Python's, the other's columns are read.
                with self.connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
                    beside = replace(self, connection=cursor)
                    numbers = pool.submit(beside._numerical_statistics)
                    found.update(self._categorical_statistics())
                    rows, numerical = numbers.result()
                found.update(numerical)
        except duckdb.ConversionException:
            self._raise_for_unreadable_cell()
            raise
        try:
            return DatasetStatistics(rows, {name: found[name] for name in self.kinds})
        except ValueError as error:
            raise DatasetError(
                f"{self.files[0].paths[0]} changed while it was scanned ({error}); scan it again"
            ) from error

    def _categorical_statistics(self) -> dict[str, CategoricalStatistics]:
        names = self._names_of(FeatureKind.CATEGORICAL)
        if not names:
            return {}
        columnar = all(group.delimiter is None for group in self.files)
        query, parameters = (
            self._counts_column_by_column(names) if columnar else self._counts_in_one_pass(names)
        )
        counts: list[dict[str | None, int]] = [{} for _ in names]
        for batch in pa.RecordBatchReader.from_stream(
            self.connection.sql(query, params=parameters)
        ):
            places, values, rows = map(pa.Array.to_pylist, batch.columns)
            for index in set(places):
                own = [place == index for place in places]
                counts[index].update(zip(compress(values, own), compress(rows, own), strict=True))
        missing = [found.pop(None, 0) for found in counts]
        return {
            name: CategoricalStatistics(cast("dict[str, int]", counts[index]), missing[index])
            for index, name in enumerate(names)
        }

    def _counts_column_by_column(self, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the query of index, value and rows, which groups one column at a time."""
        queries = []
        parameters: dict[str, Any] = {}
        for index, name in enumerate(names):
            cells, parameters = self._cells([name], FeatureKind.CATEGORICAL)
            queries.append(
                f"SELECT {index} AS index, value0 AS value, count(*) AS rows FROM ({cells}) "
                "GROUP BY value0"
            )
        return " UNION ALL ".join(queries), parameters

    def _counts_in_one_pass(self, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the same query for text, which must be parsed as a whole for each column."""
        cells, parameters = self._cells(names, FeatureKind.CATEGORICAL)
        values = [f"value{index}" for index in range(len(names))]
        # GROUPING is 0 of the column that a row groups by; the others are null in that row.
        own = " ".join(f"WHEN GROUPING({value}) = 0 THEN {i}" for i, value in enumerate(values))
        return (
            f"SELECT CASE {own} END AS index, coalesce({', '.join(values)}) AS value, "
            f"count(*) AS rows FROM ({cells}) "
            f"GROUP BY GROUPING SETS ({', '.join(f'({value})' for value in values)})",
            parameters,
        )

    def _numerical_statistics(self) -> tuple[int, dict[str, NumericalStatistics]]:
        names = self._names_of(FeatureKind.NUMERICAL)
        rows, plain = self._summaries(
            names, ("count({0})", "0", "0", "0", "min({0})", "max({0})", "favg({0})")
        )
        # DuckDB orders NaN above +inf, so that the bounds show any value that is not finite.
        unusual = [
            name
            for name, item in plain.items()
            if not math.isfinite(item.minimum or 0.0) or not math.isfinite(item.maximum or 0.0)
        ]
        summaries = dict(plain)
        if unusual:
            finite = "FILTER (isfinite({0}))"
            _, apart = self._summaries(
                unusual,
                (
                    "count({0})",
                    "count(*) FILTER (isnan({0}))",
                    "count(*) FILTER ({0} = CAST('-inf' AS DOUBLE))",
                    "count(*) FILTER ({0} = CAST('inf' AS DOUBLE))",
                    f"min({{0}}) {finite}",
                    f"max({{0}}) {finite}",
                    f"favg({{0}}) {finite}",
                ),
            )
            summaries |= apart
        counts = self._bucket_counts(
            {
                name: equal_width_edges(item.minimum, item.maximum)
                for name, item in summaries.items()
                if item.minimum is not None
                and item.maximum is not None
                and item.minimum < item.maximum
            },
            set(unusual),
        )
        return rows, {name: item.statistics(counts.get(name)) for name, item in summaries.items()}

    def _summaries(
        self, names: Sequence[str], aggregates: Sequence[str]
    ) -> tuple[int, dict[str, _Summary]]:
        """Return the rows and, for each feature, what the aggregates of its values are."""
        cells, parameters = self._cells(names, FeatureKind.NUMERICAL)
        columns = [
            aggregate.format(f"value{index}")
            for index in range(len(names))
            for aggregate in aggregates
        ]
        rows, *found = self._fetch_one(
            f"SELECT {', '.join(['count(*)', *columns])} FROM ({cells})", parameters
        )
        width = len(aggregates)
        return rows, {
            name: _Summary(rows, *found[index * width : (index + 1) * width])
            for index, name in enumerate(names)
        }

    def _bucket_counts(
        self, edges: Mapping[str, tuple[float, ...]], with_infinities_or_nan: Set[str]
    ) -> dict[str, tuple[tuple[float, ...], tuple[int, ...]]]:
        """Return the edges and the finite values in each bucket of the features with a range."""
        if not edges:
            return {}
        cells, parameters = self._cells(list(edges), FeatureKind.NUMERICAL)
        aggregates = []
        for index, (name, bounds) in enumerate(edges.items()):
            # DuckDB's buckets include their upper bound, numpy's (but the last) do not: below an
            # edge is at most the next lower float.
            parameters[f"bounds{index}"] = [
                *(math.nextafter(edge, -math.inf) for edge in bounds[1:-1]),
                bounds[-1],
            ]
            finite = f" FILTER (isfinite(value{index}))" if name in with_infinities_or_nan else ""
            aggregates.append(f"map_values(histogram(value{index}, $bounds{index}){finite})")
        row = self._fetch_one(f"SELECT {', '.join(aggregates)} FROM ({cells})", parameters)
        return {
            name: (bounds, tuple(counts))
            for (name, bounds), counts in zip(edges.items(), row, strict=True)
        }

    def _names_of(self, kind: FeatureKind) -> list[str]:
        return [name for name, its_kind in self.kinds.items() if its_kind is kind]

    def _fetch_one(self, query: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
        return self.connection.execute(query, parameters).fetchall()[0]

    def _cells(self, names: Sequence[str], kind: FeatureKind) -> tuple[str, dict[str, Any]]:
        """Return the query of the columns `value0`, `value1`... of all files, and parameters."""
        queries = []
        parameters: dict[str, Any] = self._day_parameters()
        for index, group in enumerate(self.files):
            relation, files = group.relation(f"group{index}")
            parameters |= files
            values = [
                f"{group.value_expression(name, kind)} AS value{place}"
                for place, name in enumerate(names)
            ]
            condition = f" WHERE {self._condition(group)}" if self.date_column is not None else ""
            queries.append(f"SELECT {', '.join(values or ['1'])} FROM {relation}{condition}")
        return " UNION ALL ".join(queries), parameters

    def _condition(self, group: TabularFiles) -> str:
        return group.day_condition(self.date_column) if self.date_column is not None else "true"

    def _day_parameters(self) -> dict[str, Any]:
        if self.days is None:
            return {}
        return {"first_day": self.days[0], "last_day": self.days[1]}

    def _raise_for_unreadable_cell(self) -> None:
        """Raise for the first cell that is no number or date, if there is one."""
        numerical = self._names_of(FeatureKind.NUMERICAL)
        for group in self.files:
            for path in group.paths:
                file = TabularFiles((path,), group.columns, group.delimiter)
                if self.date_column is not None and file.column(self.date_column).is_text:
                    value = file.column(self.date_column).as_timestamp("TRY_CAST")
                    self._raise_for_cell(
                        file,
                        self.date_column,
                        value,
                        "true",
                        "no date; write it as 2026-01-31 or name another date_column",
                    )
                for name in numerical:
                    if file.column(name).is_text:
                        self._raise_for_cell(
                            file,
                            name,
                            file.column(name).as_number("TRY_CAST"),
                            self._condition(file),
                            "no number; correct it, or declare the feature categorical in "
                            "feature_types",
                        )

    def _raise_for_cell(
        self, file: TabularFiles, name: str, value: str, condition: str, problem: str
    ) -> None:
        relation, parameters = file.relation("file")
        if condition != "true":
            parameters |= self._day_parameters()
        cell = self.connection.execute(
            f"SELECT number, cell FROM (SELECT row_number() OVER () AS number, "
            f"{file.column(name).reference} AS cell, {value} AS value, {condition} AS taken "
            f"FROM {relation}) WHERE taken AND cell <> '' AND value IS NULL "
            "ORDER BY number LIMIT 1",
            parameters,
        ).fetchone()
        if cell is not None:
            number, text = cell
            raise DatasetError(
                f"{file.paths[0]}, row {number} (counted from 1 below the header): column "
                f"{name!r} holds {text!r}, which is {problem}"
            )


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
    mean: float | None

    def statistics(
        self, buckets: tuple[tuple[float, ...], tuple[int, ...]] | None
    ) -> NumericalStatistics:
        """Return the statistics.

        Args:
            buckets: edges and counts, or None where there are not two distinct finite values.
        """
        finite = self.present - self.nan - self.negative_infinities - self.positive_infinities
        if buckets is not None:
            edges, counts = buckets
        elif self.minimum is not None and self.maximum is not None:
            edges, counts = (self.minimum, self.maximum), (finite,)
        else:
            edges, counts = (), ()
        overflowed = self.mean is not None and abs(self.mean) == float("inf")
        return NumericalStatistics(
            edges=edges,
            counts=counts,
            minimum=self.minimum,
            maximum=self.maximum,
            mean=None if overflowed else self.mean,
            negative_infinities=self.negative_infinities,
            positive_infinities=self.positive_infinities,
            nan=self.nan,
            missing=self.rows - self.present,
        )
