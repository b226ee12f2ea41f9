"""Days of transactions, kept as Parquet in the local platform's directory."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from transak_drift.local.file_transactions import FileTransactions
from transak_drift.local.state_directory import StateDirectory
from transak_drift.local.tabular_files import is_current
from transak_drift.local.transaction_generator import GeneratedTransactions
from transak_drift.platform import Dataset, PlatformError

_FIRST_BASELINE_DAYS = 28


TransactionSource = FileTransactions | GeneratedTransactions


class DayStore:
    """Keeps the days of one source."""

    def __init__(self, state: StateDirectory, source: TransactionSource) -> None:
        self._state = state
        self._source = source

    def rewrite(self, day: date) -> Dataset:
        """Write a day's transactions, also where they are there already."""
        path = self._state.transactions(day)
        return Dataset(str(path), self._source.write_day(day, path))

    def ensure(self, day: date) -> Path:
        """Return a day's file, written first where it is missing or another form of CSV is set."""
        path = self._state.transactions(day)
        if not path.exists() or not is_current(path, self._state.config.csv):
            self.rewrite(day)
        return path

    def days_until(self, day: date, max_days: int) -> list[date]:
        """Return the days that may have transactions up to a day, ascending and at least one.

        They span `max_days` calendar days, `day` included; a source that ends earlier is looked at
        from its own last day. The last of them has rows.
        """
        available = self._source.days()
        if available is None:
            days = [day - timedelta(days=n) for n in reversed(range(max_days))]
        else:
            earlier = [item for item in available if item <= day]
            if not earlier:
                first = available[0] if available else "none"
                raise PlatformError(
                    f"there are no transactions up to {day}: the first day is {first}"
                )
            days = [item for item in earlier if item > earlier[-1] - timedelta(days=max_days)]
        while days and not pq.read_metadata(self.ensure(days[-1])).num_rows:
            days.pop()
        if not days:
            raise PlatformError(f"there are no bookings up to {day} to train on")
        return days

    def first_baseline(self) -> dict[date, Path]:
        """Choose the data that the first model learns from, Parquet files by day.

        They are the source's own baseline where it has one (as the day before the first monitored
        one); otherwise up to 28 days before the first monitored day, or, where the source begins
        with it, the first half of its days, at most 28.
        """
        start = self._state.config.start_date
        before = start - timedelta(days=1)
        if self._source.write_baseline(self._state.transactions(before)) is not None:
            return {before: self._state.transactions(before)}
        available = self._source.days()
        if available is None:
            days = [start - timedelta(days=n) for n in range(_FIRST_BASELINE_DAYS, 0, -1)]
        else:
            days = [day for day in available if day < start][-_FIRST_BASELINE_DAYS:]
            days = days or available[: min(_FIRST_BASELINE_DAYS, max(1, len(available) // 2))]
        if not days:
            raise PlatformError("the source has no transactions of any day")
        return {day: self.ensure(day) for day in days}
