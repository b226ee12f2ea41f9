"""BigQuery's tables as a DuckDB database: a table is named `project.dataset.table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

Error = duckdb.Error


class Tables:
    """The tables, and the standard SQL that both databases understand.

    Attributes:
        queries: the SQL that was executed.
    """

    def __init__(self) -> None:
        self.queries: list[str] = []
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")

    def create(self, name: str, select: str) -> None:
        """Create a table, or one in place of another."""
        self._database.execute(f'CREATE OR REPLACE TABLE "{name}" AS {select}')

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to a table, which is made if there is none."""
        self._database.register("new_rows", pa.Table.from_pylist([*rows]))
        self._database.execute(
            f'CREATE TABLE IF NOT EXISTS "{name}" AS SELECT * FROM new_rows LIMIT 0'
        )
        self._database.execute(f'INSERT INTO "{name}" SELECT * FROM new_rows')

    def rows(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Execute a query; returns the names of its columns, and its rows."""
        cursor = self._execute(query)
        return [column[0] for column in cursor.description or []], cursor.fetchall()

    def check(self, query: str) -> list[str]:
        """Plan a query without executing it; returns the tables that it reads."""
        cursor, text = self._database.cursor(), _as_duckdb(query)
        cursor.execute(f"EXPLAIN {text}")
        return sorted(cursor.get_table_names(text))

    def write(self, query: str, path: Path) -> None:
        """Write what a query selects to a Parquet file."""
        self._execute(f"COPY (\n{query}\n) TO '{path}' (FORMAT parquet)")

    def _execute(self, query: str) -> duckdb.DuckDBPyConnection:
        self.queries.append(query)
        return self._database.cursor().execute(_as_duckdb(query))


def _as_duckdb(query: str) -> str:
    # BigQuery quotes names by backticks, DuckDB by double quotes.
    return query.replace("`", '"')
