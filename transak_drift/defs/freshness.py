"""When a drift report is due, and what is overdue: reports of windows, and trainings.

Dagster's UI shows the same by the freshness policies of the assets; nobody is sent to look there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import dagster as dg

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window
from transak_drift.defs import keys
from transak_drift.defs.keys import ModelNames

# From the schedule's tick until the report counts as late: runs may queue, and jobs take hours.
MAX_REPORT_DELAY = timedelta(hours=12)
# The configuration is applied again each day, whatever the windows.
APPLY_CRON = "30 2 * * *"
_MAX_APPLY_AGE = timedelta(days=1) + MAX_REPORT_DELAY
# They tell the longest time between two reports; so many may be overdue at once.
_REPORTS_LOOKED_AT = 40
_MAX_OVERDUE = 400
_SOME_DAY = date(2027, 1, 1)


@dataclass(frozen=True, slots=True)
class OverdueReport:
    """A window without a report, since when it counts as late, and whether its run was started."""

    window: Window
    due: datetime
    is_started: bool


@dataclass(frozen=True, slots=True)
class OverdueTraining:
    """How many expected intervals there was no training, since when, and when the last ended."""

    last: datetime
    due: datetime
    intervals: int


def report_freshness(config: MonitoringConfig) -> dg.FreshnessPolicy:
    """Return by when a report has to follow on the one before: the longest time that may pass."""
    due = [report_due(config, config.windows.of_day(_SOME_DAY))]
    while len(due) < _REPORTS_LOOKED_AT:
        # The next that ends; those between are reported at the same tick.
        window = config.windows.of_moment(due[-1] - MAX_REPORT_DELAY)
        due.append(report_due(config, window))
    longest = max(after - before for before, after in pairwise(due))
    return dg.FreshnessPolicy.time_window(fail_window=longest + MAX_REPORT_DELAY)


def monitor_freshness() -> dg.FreshnessPolicy:
    """Return by when the configuration has to be applied again."""
    return dg.FreshnessPolicy.time_window(fail_window=_MAX_APPLY_AGE)


def report_due(config: MonitoringConfig, window: Window) -> datetime:
    """Return when the report of a window counts as late, UTC."""
    # No public name lists the ticks of a cron expression.
    from dagster._utils.schedules import cron_string_iterator

    _, end = config.windows.bounds(window)
    zone = config.schedule.time_zone or config.time_zone
    cron = config.schedule.cron_of(config.monitoring_window)
    (tick,) = islice(cron_string_iterator(end.timestamp(), cron, zone), 1)
    return tick.astimezone(UTC) + MAX_REPORT_DELAY


def overdue_reports(
    instance: dg.DagsterInstance, config: MonitoringConfig, since: datetime, now: datetime
) -> tuple[list[OverdueReport], datetime]:
    """Find the windows that came to be late since a moment and have no report, oldest first.

    Windows before the first that has a report are not late. Returned is also the last moment at
    which a window came to be due, or `since`.
    """
    due = sorted(islice(_due_windows(config, since, now), _MAX_OVERDUE))
    if not due:
        return [], since
    names = ModelNames.of(config)
    reported = set(_windows(config, instance, names.asset(keys.DRIFT_REPORT)))
    started = set(_windows(config, instance, names.asset(keys.MONITORING_RUN)))
    first = min(reported, default=None)
    late = [
        OverdueReport(window, moment, window in started)
        for moment, window in due
        if first is not None and first < window and window not in reported
    ]
    return late, due[-1][0]


def _due_windows(
    config: MonitoringConfig, since: datetime, now: datetime
) -> Iterator[tuple[datetime, Window]]:
    window = config.windows.newest_ended(now)
    while (due := report_due(config, window)) > since:
        if due <= now:
            yield due, window
        window = config.windows.before(window)


def _windows(
    config: MonitoringConfig, instance: dg.DagsterInstance, asset: dg.AssetKey
) -> Iterator[Window]:
    for key in instance.get_materialized_partitions(asset):
        try:
            yield config.windows.parse(key)
        except ValueError:
            # Of another length of windows, which was configured before.
            continue


def overdue_training(
    instance: dg.DagsterInstance, config: MonitoringConfig, since: datetime, now: datetime
) -> OverdueTraining | None:
    """Find that an expected interval without a training ended since a moment; the newest counts.

    Before the first training that Dagster ran it is counted from when the model was found first.
    """
    if config.expected_training_interval_days is None:
        return None
    names = ModelNames.of(config)
    trained = instance.fetch_materializations(names.asset(keys.TRAINED_MODEL), limit=1).records
    found = trained or (
        instance.fetch_materializations(
            names.asset(keys.REGISTERED_MODEL), limit=1, ascending=True
        ).records
    )
    if not found:
        return None
    interval = timedelta(days=config.expected_training_interval_days)
    last = datetime.fromtimestamp(found[0].timestamp, UTC)
    intervals = (now - last) // interval
    due = last + intervals * interval
    return OverdueTraining(last, due, intervals) if intervals and due > since else None
