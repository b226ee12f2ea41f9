"""Which windows of transactions a training uses: the present regime, and nothing older."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from transak_drift.config.monitoring_config import CategoricalMetric, RetrainPolicy
from transak_drift.config.monitoring_window import Window
from transak_drift.drift.drift_statistics import compare_features
from transak_drift.drift.feature_statistics import DatasetStatistics


def select_training_windows(
    event_window: Window,
    candidates: Collection[Window],
    statistics_of: Callable[[Window], DatasetStatistics],
    thresholds: Mapping[str, float],
    max_days: int,
    categorical_metric: CategoricalMetric = "l_infinity",
) -> list[Window]:
    """Select the longest unbroken run of like windows that ends at the drift event's.

    The run goes back through the available windows and ends before the first that drifts against
    the event's beyond chance, so it is one window long after an abrupt change and reaches
    `max_days` in quiet times. A window without transactions, such as a holiday, is passed over; one
    without values of a feature differs.

    The candidates are the windows that have data, in any order. The statistics of a window are
    asked for at most once, newest first. The run spans at most `max_days` calendar days, at least
    1; the event's window is always part of it.
    """
    event = statistics_of(event_window)
    # Not the first day that is young enough: it may lie before the calendar's first.
    max_age = timedelta(days=max_days - 1)
    earlier = {
        window
        for window in candidates
        if window < event_window and event_window.last_day - window.first_day <= max_age
    }
    run = [event_window]
    for window in sorted(earlier, reverse=True):
        statistics = statistics_of(window)
        if statistics.rows == 0:
            continue
        found = compare_features(
            event, statistics, thresholds, categorical_metric=categorical_metric
        )
        # Few rows differ from others by chance.
        judged = [feature.judged(feature.threshold, None, RetrainPolicy()) for feature in found]
        if any(feature.drifted or feature.distance is None for feature in judged):
            break
        run.append(window)
    return run[::-1]
