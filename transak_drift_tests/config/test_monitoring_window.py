"""Windows against the calendar itself: no gap, no overlap, and local midnights."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import Window, WindowCalendar, WindowLength

calendars = st.builds(
    WindowCalendar,
    length=st.sampled_from(["day", "week", "month"]),
    time_zone=st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Pacific/Apia"]),
)
days = st.dates(date(1990, 1, 1), date(2090, 12, 31))


@given(calendars, days)
def test_windows_follow_on_each_other_without_gap_or_overlap(
    calendar: WindowCalendar, day: date
) -> None:
    window = calendar.of_day(day)
    assert window.first_day <= day <= window.last_day
    assert window.length == calendar.length
    assert {calendar.of_day(item) for item in window.days} == {window}
    following = calendar.after(window)
    assert following.first_day == window.last_day + timedelta(days=1)
    assert calendar.before(following) == window
    assert calendar.bounds(window)[1] == calendar.bounds(following)[0]
    assert calendar.between(window, following) == [window, following]
    assert calendar.parse(window.key) == window


@given(calendars, st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_a_moment_belongs_to_the_window_whose_bounds_it_lies_in(
    calendar: WindowCalendar, moment: datetime
) -> None:
    window = calendar.of_moment(moment)
    start, end = calendar.bounds(window)
    assert start <= moment < end
    assert window == calendar.of_day(moment.astimezone(ZoneInfo(calendar.time_zone)).date())
    assert calendar.ending_at(end) == window
    assert calendar.ending_at(start) == calendar.before(window)
    assert calendar.bounds(calendar.newest_ended(moment))[1] == start


def test_a_month_is_local_across_summer_time() -> None:
    calendar = WindowCalendar("month", "Europe/Zurich")
    assert calendar.bounds(calendar.parse("2026-03")) == (
        datetime(2026, 2, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 31, 22, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("length", "day", "key", "when"),
    [
        ("day", date(2026, 8, 27), "2026-08-27", "on 2026-08-27"),
        ("week", date(2026, 8, 27), "2026-08-24", "in the week of 2026-08-24"),
        ("month", date(2024, 2, 5), "2024-02", "in 2024-02"),
    ],
)
def test_what_people_read_of_a_window(length: WindowLength, day: date, key: str, when: str) -> None:
    window = WindowCalendar(length).of_day(day)
    assert (window.key, window.when) == (key, when)


def test_a_week_is_known_by_its_number_too() -> None:
    assert WindowCalendar("week").parse("2026-W35") == Window(date(2026, 8, 24), date(2026, 8, 30))


@pytest.mark.parametrize(
    ("length", "key"),
    [
        ("day", "2026-08"),
        ("day", "2026-02-30"),
        ("week", "2026-08-25"),
        ("week", "2025-W53"),
        ("month", "2026-13"),
        ("month", "2026-08-01"),
        ("month", "0000-01"),
        ("day", "9999-1-1"),
    ],
)
def test_a_key_of_no_window_is_told_with_what_to_write(length: WindowLength, key: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}' is no {length}: write a {length}"):
        WindowCalendar(length).parse(key)


def test_the_first_window_begins_on_a_day_or_later() -> None:
    calendar = WindowCalendar("month")
    assert calendar.first_from(date(2026, 1, 1)).key == "2026-01"
    assert calendar.first_from(date(2026, 1, 2)).key == "2026-02"
