"""Which days of transactions a training uses: the present regime, and nothing older."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta

from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics


def select_training_days(
    event_day: date,
    candidates: Collection[date],
    statistics_of: Callable[[date], DatasetStatistics],
    thresholds: Mapping[str, float],
    max_days: int,
) -> list[date]:
    """Select the longest unbroken run of like days that ends at the drift event's day.

    The run goes back through the available days and ends before the first that drifts against
    the event's, so it is one day long after an abrupt change and reaches `max_days` in quiet
    times. A day without transactions, such as a holiday, is passed over; one without values of a
    feature differs.

    The candidates are the days that have data, in any order. The statistics of a day are asked for
    at most once, newest first. The run spans at most `max_days` calendar days, at least 1, the
    event's day included, which is always part of it.
    """
    event = statistics_of(event_day)
    # Not `event_day - (max_days - 1)`: that day may lie before the calendar's first.
    max_age = timedelta(days=max_days - 1)
    earlier = {day for day in candidates if day < event_day and event_day - day <= max_age}
    run = [event_day]
    for day in sorted(earlier, reverse=True):
        statistics = statistics_of(day)
        if statistics.rows == 0:
            continue
        found = compare_features(event, statistics, thresholds)
        if any(feature.drifted or feature.distance is None for feature in found):
            break
        run.append(day)
    return run[::-1]
