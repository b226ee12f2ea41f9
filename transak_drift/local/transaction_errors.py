"""What can be wrong with the transactions that the configuration names."""

from __future__ import annotations

from datetime import date


class TransactionsError(ValueError):
    """Transactions that cannot be read as the configuration names them.

    Args:
        setting: the setting that names them, e.g. `transactions`.
        value: what it says.
        problem: what is wrong, as the end of a sentence.
        fix: what to do.
    """

    def __init__(self, setting: str, value: str, problem: str, fix: str) -> None:
        self.setting = setting
        self.value = value
        self.problem = problem
        self.fix = fix
        super().__init__(f"{setting} = {value!r}: {problem}; fix: {fix}")


class NoTransactionsError(TransactionsError):
    """A day without transactions.

    Args:
        setting: the setting that names the transactions.
        value: what it says.
        day: the day that was asked for.
        place: where its transactions were looked for.
        available: first and last day with transactions, or None where no day has any.
    """

    def __init__(
        self,
        setting: str,
        value: str,
        day: date,
        place: str,
        available: tuple[date, date] | None,
    ) -> None:
        self.day = day
        self.available = available
        found = f"days {available[0]} to {available[1]} are there" if available else "no day is"
        super().__init__(
            setting,
            value,
            f"has no transactions of {day} in {place} ({found})",
            "add that day's transactions, or choose a day that is there",
        )
