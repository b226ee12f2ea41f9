"""When ended windows are monitored: cron expressions, and the section `schedule`."""

from __future__ import annotations

import calendar
import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from transak_drift.config.monitoring_window import WindowLength
from transak_drift.config.sections import Section, TimeZone, fault

_DEFAULT_CRON: dict[WindowLength, str] = {
    "day": "0 3 * * *",
    "week": "0 3 * * 1",
    "month": "0 3 1 * *",
}
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ITEM = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?)"
    r"(?:/(?P<step>[0-9]{1,2}))?"
)
_FIX = "write minute, hour, day of the month, month and day of the week, such as 0 3 * * *"
# In February, of a leap year.
_DAYS_OF_MONTH = {month: calendar.monthrange(2028, month)[1] for month in range(1, 13)}


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    # Sunday is 0 or 7.
    _Field("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def _cron(expression: str) -> str:
    """Check a cron expression: five fields of numbers, names, ranges, lists and steps.

    Source: crontab(5). `L` is the last day of a month; a name such as @daily becomes its fields.
    """
    texts = _ALIASES.get(expression.strip().lower(), expression).split()
    if len(texts) != len(_FIELDS):
        aliases = "@hourly, @daily, @weekly or @monthly"
        problem = "has {number} fields of a cron expression, not 5"
        raise fault(problem, f"{_FIX}, or {aliases}", number=len(texts))
    values = [_values(text.lower(), field) for text, field in zip(texts, _FIELDS, strict=True)]
    days, months = values[2], values[3]
    if min(days) > max(_DAYS_OF_MONTH[month] for month in months):
        raise fault("names a day that none of its months has", "name another day, or L")
    return " ".join(texts)


def _values(text: str, field: _Field) -> set[int]:
    """Return the values that a field stands for."""
    values: set[int] = set()
    for item in text.split(","):
        if item == "l" and field.name == "day of the month":
            values.add(min(_DAYS_OF_MONTH.values()))
        elif found := _item_values(item, field):
            values |= set(found)
        else:
            allowed = f"{field.low} to {field.high}"
            if field.names:
                allowed += f" or {field.names[0]} to {field.names[-1]}"
            raise fault(
                "has {item} as {name}, which is no such value",
                f"there, write * or {allowed}, ranges (1-5), lists (1,15) or steps (*/6)",
                item=item or "nothing",
                name=field.name,
            )
    return values


def _item_values(item: str, field: _Field) -> range:
    """Return the values of a number, name, range or step; none where it is no such thing."""
    match = _ITEM.fullmatch(item)
    if match is None:
        return range(0)
    first, last, step = match["first"], match["last"], int(match["step"] or 1)
    low = _number(first, field) if first else field.low
    high = _number(last, field) if last else low
    if not last and (first is None or match["step"]):
        high = field.high
    if low is None or high is None or (last and low >= high) or not 1 <= step <= field.high:
        return range(0)
    return range(low, high + 1, step)


def _number(word: str, field: _Field) -> int | None:
    number = int(word) if word.isdigit() else -1
    if word in field.names:
        number = field.names.index(word) + field.low
    return number if field.low <= number <= field.high else None


class MonitoringSchedule(Section):
    """When Dagster monitors the windows that have ended; each is monitored once."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """Cron expression of five fields, or @daily and the like; by default 03:00 of each day, of
    Mondays with weeks, and of the first day of a month with months."""

    time_zone: TimeZone | None = None
    """Time zone of cron, a name of the IANA database; by default time_zone."""

    def cron_of(self, length: WindowLength) -> str:
        """Return the cron expression for windows of a length."""
        return self.cron or _DEFAULT_CRON[length]
