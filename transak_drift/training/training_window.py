"""Which days of transactions a training uses: the present regime, and nothing older."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, timedelta


def select_training_days(
    event_day: date,
    candidates: Collection[date],
    differs: Callable[[date, date], bool],
    maximum_days: int,
) -> list[date]:
    """Select the longest unbroken run of like days that ends at the drift event's day.

    The run goes back through the available days and ends before the first that differs, so it is
    one day long after an abrupt change and reaches `maximum_days` in quiet times. A day without
    data (a bank holiday, say) does not break the run; it is passed over.

    Args:
        event_day: the day whose data drifted; it is always part of the result.
        candidates: the days that have data, in any order; days after `event_day` are ignored.
        differs: `differs(day, event_day)` tells whether the two days' distributions drift
            against each other. It is asked for each earlier day at most once, newest first, and
            not beyond the first that differs.
        maximum_days: calendar days that the run spans at most, the event's day included.

    Returns:
        The days in ascending order, at least `[event_day]`.

    Raises:
        ValueError: `maximum_days` is less than 1, or `event_day` has no data.
    """
    if maximum_days < 1:
        raise ValueError(f"maximum_days = {maximum_days}: is less than 1; fix: write 1 or more")
    if event_day not in candidates:
        raise ValueError(
            f"event_day = {event_day}: has no transactions; fix: write that day's data first"
        )
    # Not `event_day - (maximum_days - 1)`: that day may lie before the calendar's first.
    longest_age = timedelta(days=maximum_days - 1)
    earlier = sorted(
        {day for day in candidates if day < event_day and event_day - day <= longest_age},
        reverse=True,
    )
    run = [event_day]
    for day in earlier:
        if differs(day, event_day):
            break
        run.append(day)
    return run[::-1]
