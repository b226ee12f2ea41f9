"""The windows of time that are monitored, one after the other: local days, weeks or months."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

WindowLength = Literal["day", "week", "month"]

MIN_DAY, MAX_DAY = date(1900, 1, 1), date(9998, 12, 31)
"""The days that may be monitored: of others a window, or its time zone, would leave the calendar.

Data have such as the years 1 and 9999 in place of no day.
"""

_ONE_DAY = timedelta(days=1)
_KEY_FORMS = {
    "day": "a day as YYYY-MM-DD",
    "week": "a week by its Monday as YYYY-MM-DD, or as YYYY-Www",
    "month": "a month as YYYY-MM",
}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A day, a week from Monday on, or a calendar month; both days belong to it."""

    first_day: date
    last_day: date

    @property
    def length(self) -> WindowLength:
        days = (self.last_day - self.first_day).days
        return "day" if days == 0 else "week" if days == 6 else "month"

    @property
    def key(self) -> str:
        """Its partition key in Dagster: 2026-08-27, a week's Monday 2026-08-24, or 2026-08."""
        return str(self.first_day)[:7] if self.length == "month" else str(self.first_day)

    @property
    def days(self) -> list[date]:
        """All its days, ascending."""
        number = (self.last_day - self.first_day).days + 1
        return [self.first_day + timedelta(days=n) for n in range(number)]

    @property
    def when(self) -> str:
        """When it is, in a sentence: `on 2026-08-27`, `in the week of 2026-08-24`, `in 2026-08`."""
        return f"{'on' if self.length == 'day' else 'in'} {self}"

    def __str__(self) -> str:
        return f"the week of {self.key}" if self.length == "week" else self.key


@dataclass(frozen=True, slots=True)
class WindowCalendar:
    """Divides time into windows of one length; a day begins at midnight of the time zone.

    The time zone is a name of the IANA database. A day whose midnight summer time skips begins with
    its first moment. What lies beyond the years 1 to 9999 is an OverflowError.
    """

    length: WindowLength = "day"
    time_zone: str = "UTC"

    def of_day(self, day: date) -> Window:
        """Return the window that a day belongs to."""
        if self.length == "day":
            return Window(day, day)
        if self.length == "week":
            monday = day - timedelta(days=day.weekday())
            return Window(monday, monday + 6 * _ONE_DAY)
        _, number_of_days = calendar.monthrange(day.year, day.month)
        return Window(day.replace(day=1), day.replace(day=number_of_days))

    def of_moment(self, moment: datetime) -> Window:
        """Return the window that a moment belongs to."""
        return self.of_day(moment.astimezone(ZoneInfo(self.time_zone)).date())

    def ending_at(self, end: datetime) -> Window:
        """Return the window of the last moment before an end, which excludes itself."""
        return self.of_moment(end.astimezone(UTC) - timedelta(microseconds=1))

    def newest_ended(self, now: datetime) -> Window:
        """Return the last window that is over."""
        return self.before(self.of_moment(now))

    def before(self, window: Window) -> Window:
        return self.of_day(window.first_day - _ONE_DAY)

    def after(self, window: Window) -> Window:
        return self.of_day(window.last_day + _ONE_DAY)

    def between(self, first: Window, last: Window) -> list[Window]:
        """Return all windows from one to another, both included, ascending."""
        windows = []
        while first <= last:
            windows.append(first)
            first = self.after(first)
        return windows

    def first_from(self, day: date) -> Window:
        """Return the first window that begins on a day or later."""
        window = self.of_day(day)
        return window if window.first_day == day else self.after(window)

    def bounds(self, window: Window) -> tuple[datetime, datetime]:
        """Return start and end (exclusive) of a window, UTC."""
        return self._midnight(window.first_day), self.end_of(window.last_day)

    def end_of(self, day: date) -> datetime:
        """Return the end (exclusive) of a day, UTC."""
        return self._midnight(day + _ONE_DAY)

    def parse(self, key: str) -> Window:
        """Read a window's key; of a week also an ISO 8601 week such as 2026-W35.

        Raises:
            ValueError: the text names no window of this length; says what to write.
        """
        try:
            if self.length == "month" and re.fullmatch(r"\d{4}-\d{2}", key):
                return self.of_day(date.fromisoformat(f"{key}-01"))
            if self.length == "week" and re.fullmatch(r"\d{4}-W\d{2}", key):
                return self.of_day(date.fromisoformat(f"{key}-1"))
            if self.length != "month" and re.fullmatch(r"\d{4}-\d{2}-\d{2}", key):
                window = self.of_day(date.fromisoformat(key))
                if window.key == key:
                    return window
        except (ValueError, OverflowError):
            # A month 13, say: as if it were no date at all.
            pass
        raise ValueError(f"{key!r} is no {self.length}: write {_KEY_FORMS[self.length]}")

    def parse_key_or_day(self, text: str) -> Window:
        """Read a window's key, or a day, which stands for the window that it belongs to.

        Raises:
            ValueError: as `parse`.
        """
        try:
            return self.of_day(WindowCalendar().parse(text).first_day)
        except (ValueError, OverflowError):
            return self.parse(text)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)
