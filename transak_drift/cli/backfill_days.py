"""Which days a backfill monitors: asked for, over, and not reported yet."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from transak_drift.config.errors import ConfigError, ConfigFault
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.defs.keys import (
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    MONITORING_RUN,
    ModelNames,
)

DEFAULT_DAYS = 60


@dataclass(frozen=True, slots=True)
class DaysToMonitor:
    """The days of a backfill, each in one of three lists, in order.

    Args:
        due: the days to monitor.
        reported: left out, since they have a report.
        awaited: left out, since their monitoring job was started and its report follows.
    """

    due: tuple[date, ...]
    reported: tuple[date, ...]
    awaited: tuple[date, ...]


def asked_days(
    config: MonitoringConfig,
    *,
    first: date | None,
    last: date | None,
    number: int | None,
    today: date,
) -> list[date]:
    """Return the days that are asked for.

    Args:
        config: the monitored model, whose `start_date` is the earliest day.
        first: the first day, or None.
        last: the last day, or None for yesterday.
        number: how many days up to the last, or None; not together with `first`.
        today: the present day, UTC, which is not over yet.

    Returns:
        The days in order, at least one.

    Raises:
        ConfigError: the days are none, not over yet, or earlier than `start_date`; it says what
            to ask for instead.
    """
    yesterday = today - timedelta(days=1)
    end = last or yesterday
    if end > yesterday:
        fix = f"ask for days up to {yesterday} (UTC)"
        raise _refused("--until", end, "is not over yet", fix)
    if end < config.start_date:
        fix = f"ask for a day from {config.start_date} on, or set an earlier start_date"
        raise _refused("--until", end, f"is before start_date ({config.start_date})", fix)
    if first is not None and number is not None:
        raise _refused("--days", number, "is given together with --from", "give one of them")
    option = "--days" if first is None else "--from"
    begin = first or end - timedelta(days=(number or DEFAULT_DAYS) - 1)
    if begin > end:
        raise _refused(option, begin, f"is after the last day, {end}", "turn the two days round")
    if begin < config.start_date:
        possible = (end - config.start_date).days + 1
        raise _refused(
            option,
            number or DEFAULT_DAYS if first is None else first,
            f"begins on {begin}, before start_date ({config.start_date})",
            f"ask for --days {possible} or --from {config.start_date}, or set an earlier "
            "start_date in the configuration",
        )
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def days_to_monitor(
    instance: dg.DagsterInstance,
    names: ModelNames,
    days: list[date],
    *,
    again: bool,
    results_follow: bool,
) -> DaysToMonitor:
    """Leave out the days that Dagster's storage has a report of, or whose report follows.

    Args:
        instance: the Dagster instance.
        names: the model's names.
        days: the days that are asked for, in order.
        again: monitor them all the same.
        results_follow: whether a job's report comes after the run that started it, as on gcp.
            Otherwise a day with a start and no report was interrupted, and is due.

    Returns:
        The days.
    """
    if again:
        return DaysToMonitor(tuple(days), (), ())
    reported = instance.get_materialized_partitions(names.asset(DRIFT_REPORT))
    awaited: set[str] = set()
    if results_follow:
        started = instance.get_materialized_partitions(names.asset(MONITORING_RUN)) - reported
        awaited = {key for key in started if not _has_failed(instance, names, key)}
    return DaysToMonitor(
        due=tuple(day for day in days if str(day) not in reported | awaited),
        reported=_among(days, reported),
        awaited=_among(days, awaited),
    )


def _has_failed(instance: dg.DagsterInstance, names: ModelNames, partition: str) -> bool:
    """Tell whether the sensor has recorded that the newest job of a day gave no result."""
    records = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=names.asset(DRIFT_REPORT), asset_partitions=[partition]),
        limit=1,
    ).records
    observation = records[0].asset_observation if records else None
    if observation is None:
        return False
    return _job_name(observation) == _newest_job(instance, names, date.fromisoformat(partition))


def _newest_job(instance: dg.DagsterInstance, names: ModelNames, day: date) -> str | None:
    """Return the monitoring job that was started last for a day, or None."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.asset(MONITORING_RUN), asset_partitions=[str(day)]),
        limit=1,
    ).records
    materialization = records[0].asset_materialization if records else None
    return None if materialization is None else _job_name(materialization)


def _job_name(event: dg.AssetMaterialization | dg.AssetObservation) -> str | None:
    value = event.metadata.get(JOB_NAME_METADATA)
    return None if value is None else str(value.value)


def _among(days: list[date], keys: Set[str]) -> tuple[date, ...]:
    return tuple(day for day in days if str(day) in keys)


def _refused(option: str, value: object, problem: str, fix: str) -> ConfigError:
    return ConfigError("the command", [ConfigFault(option, value, problem, fix)])
