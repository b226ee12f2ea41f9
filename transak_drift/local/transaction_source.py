"""Where transactions come from: the synthetic generator, or the user's own files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq

from transak_drift.local.atomic_file import replace_file
from transak_drift.local.file_transactions import FileTransactions
from transak_drift.local.transaction_generator import GeneratorSettings, generate_day

__all__ = ["FileTransactions", "GeneratedTransactions", "TransactionSource"]


class TransactionSource(Protocol):
    """Gives the transactions of one day at a time."""

    def days(self) -> Sequence[date] | None:
        """Return the days that have transactions, ascending, or None where any day has.

        Raises:
            TransactionsError: the transactions cannot be read.
        """
        ...

    def write_day(self, day: date, destination: Path) -> int:
        """Write a day's transactions to a Parquet file, which appears whole or not at all.

        Args:
            day: the booking day.
            destination: the file; replaced where it exists, its directory made where missing.

        Returns:
            The number of rows; 0 of a day without bookings, such as a Sunday, whose file has no
            rows.

        Raises:
            TransactionsError: the transactions cannot be read, begin on a later day, or end
                before the day, a weekday.
        """
        ...

    def write_baseline(self, destination: Path) -> int | None:
        """Write the baseline that comes with the data, as `write_day` does a day's.

        Args:
            destination: the Parquet file.

        Returns:
            The number of rows, at least 1, or None where the data come without a baseline; then
            nothing is written.

        Raises:
            TransactionsError: the baseline cannot be read or has no rows.
        """
        ...


class GeneratedTransactions:
    """Synthetic transactions (see `transaction_generator`).

    Args:
        settings: what to generate.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        self._settings = settings

    def days(self) -> None:
        """Return None: any day can be generated."""
        return

    def write_day(self, day: date, destination: Path) -> int:
        """Write a day's synthetic transactions; see `TransactionSource.write_day`."""
        table = generate_day(day, self._settings)
        with replace_file(destination) as temporary:
            pq.write_table(table, temporary)
        return table.num_rows

    def write_baseline(self, destination: Path) -> None:
        """Return None: the baseline is made from generated days."""
        return
