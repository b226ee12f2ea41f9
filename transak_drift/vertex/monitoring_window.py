"""The time window that a monitoring job looked at, and the day that it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob
from google.type.interval_pb2 import Interval

from transak_drift.drift.drift_event import last_day

Window = tuple[datetime | None, datetime | None]

_OWN_ID = re.compile(r"day-(?P<day>[0-9]{8})-[0-9a-f]{12}(?:-[0-9]+)?")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# A day may be monitored before it ends; a window that ends later still is no window of data.
_MAX_AHEAD = timedelta(days=2)


def monitored_day(job_name: str) -> date | None:
    """Read the monitored day from a job's name, or from a drift event's key.

    It is None where another than `start_monitoring_run` has started the job.
    """
    match = _OWN_ID.fullmatch(job_name.rpartition("/")[2])
    try:
        return None if match is None else date.fromisoformat(match["day"])
    except ValueError:
        return None


def window_of(job: ModelMonitoringJob) -> tuple[date, datetime | None, datetime | None]:
    """Find the window of a job's target dataset.

    It is what the job says of the processed dataset, else the time that was asked for, else the
    day in the id of a job of ours, else the scheduled time, else the time of the job's creation.

    Returns:
        The last day (UTC), and start and end (exclusive) of the window; None and None where the
        window is that whole day, a start of None where only the end is known.
    """
    created = job.create_time.astimezone(UTC)
    start, end = next(
        (start, end)
        for start, end in _candidates(job, created)
        if end is not None and _EARLIEST < end <= created + _MAX_AHEAD
    )
    if start is not None and not _EARLIEST <= start < end:
        start = None
    day = last_day(end)
    midnight = datetime.combine(day, time(), tzinfo=UTC)
    if (start, end) == (midnight, midnight + timedelta(days=1)):
        return day, None, None
    return day, start, end


def _candidates(job: ModelMonitoringJob, created: datetime) -> Iterator[Window]:
    processed = [
        _bounds(dataset.time_range)
        for dataset in job.job_execution_detail.target_datasets
        if "time_range" in dataset
    ]
    if processed:
        starts = [start for start, _ in processed if start is not None]
        ends = [end for _, end in processed if end is not None]
        yield min(starts, default=None), max(ends, default=None)
    scheduled = job.schedule_time.astimezone(UTC) if job.schedule_time else None
    target = job.model_monitoring_spec.objective_spec.target_dataset
    if "time_interval" in target:
        yield _bounds(target.time_interval)
    day = monitored_day(job.name)
    if day is not None and day < date.max:
        start = datetime.combine(day, time(), tzinfo=UTC)
        yield start, start + timedelta(days=1)
    yield None, scheduled
    yield None, max(created, _EARLIEST + timedelta(days=1))


def _bounds(interval: Interval) -> Window:
    def bound(field: str) -> datetime | None:
        try:
            return getattr(interval, field).ToDatetime(UTC) if interval.HasField(field) else None
        except (ValueError, OverflowError):
            return None

    return bound("start_time"), bound("end_time")
