"""Days of transactions, landed as Parquet in the local platform's directory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from transak_drift.local.file_transactions import TransactionsError
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.tabular_files import is_current
from transak_drift.local.transaction_source import TransactionSource
from transak_drift.platform import Dataset, PlatformError

FIRST_BASELINE_DAYS = 28


class Landing:
    """Lands days of one source.

    Args:
        state: the monitored model's directory.
        source: where the transactions come from.
    """

    def __init__(self, state: StateDirectory, source: TransactionSource) -> None:
        self._state = state
        self._source = source

    def land_again(self, day: date) -> Dataset:
        """Write a day's transactions, also where they are there already.

        Args:
            day: the day.

        Returns:
            Where they are and how many.

        Raises:
            PlatformError: the day is not there yet, or cannot be read.
        """
        path = self._state.transactions(day)
        try:
            rows = self._source.write_day(day, path)
        except TransactionsError as error:
            raise PlatformError(str(error)) from error
        return Dataset(str(path), rows)

    def land(self, day: date) -> Path:
        """Return a day's file, written first where it is missing or another form of CSV is set.

        Args:
            day: the day.

        Returns:
            The Parquet file.

        Raises:
            PlatformError: as `land_again`.
        """
        path = self._state.transactions(day)
        if not path.exists() or not is_current(path, self._state.config.csv):
            self.land_again(day)
        return path

    def has_rows(self, day: date) -> bool:
        """Tell whether a day, landed first where it is missing, has transactions."""
        return pq.read_metadata(self.land(day)).num_rows > 0

    def days_until(self, day: date, maximum_days: int) -> list[date]:
        """Return the days with transactions among the last days up to a day.

        Args:
            day: the last day.
            maximum_days: how many calendar days to look back, `day` included. A source that ends
                earlier is looked at from its own last day.

        Returns:
            The days in order, at least one.

        Raises:
            PlatformError: the source has no transactions up to that day.
        """
        available = self._available()
        if available is None:
            return [day - timedelta(days=n) for n in reversed(range(maximum_days))]
        earlier = [item for item in available if item <= day]
        if not earlier:
            raise PlatformError(
                f"there are no transactions up to {day}: the first day is "
                f"{available[0] if available else 'none'}"
            )
        return [item for item in earlier if item > earlier[-1] - timedelta(days=maximum_days)]

    def first_baseline(self) -> dict[date, Path]:
        """Choose the data that the first model learns from.

        Returns:
            Parquet files by day: the source's own baseline where it has one (as the day before
            the first monitored one); otherwise up to 28 days before the first monitored day, or,
            where the source begins with it, the first half of its days, at most 28.

        Raises:
            PlatformError: the source has no transactions.
        """
        start = self._state.config.start_date
        baseline = self._land_baseline(start - timedelta(days=1))
        if baseline is not None:
            return baseline
        available = self._available()
        if available is None:
            days = [start - timedelta(days=n) for n in range(FIRST_BASELINE_DAYS, 0, -1)]
        else:
            days = [day for day in available if day < start][-FIRST_BASELINE_DAYS:]
            days = days or available[: min(FIRST_BASELINE_DAYS, max(1, len(available) // 2))]
        if not days:
            raise PlatformError("the source has no transactions of any day")
        return {day: self.land(day) for day in days}

    def has_labels(self, files: Iterable[Path]) -> bool:
        """Tell whether every file has the configured label column."""
        label = self._state.config.label_column
        return all(label in pq.read_schema(file).names for file in files)

    def _available(self) -> list[date] | None:
        try:
            days = self._source.days()
        except TransactionsError as error:
            raise PlatformError(str(error)) from error
        return None if days is None else sorted(days)

    def _land_baseline(self, day: date) -> dict[date, Path] | None:
        path = self._state.transactions(day)
        try:
            rows = self._source.write_baseline(path)
        except TransactionsError as error:
            raise PlatformError(str(error)) from error
        return None if rows is None else {day: path}
