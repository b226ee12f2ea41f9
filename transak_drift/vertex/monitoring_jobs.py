"""Monitoring jobs of our model's monitors, whoever started them, and what they found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from google.cloud.aiplatform_v1beta1 import types
from google.cloud.aiplatform_v1beta1.types import JobState as State
from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob
from google.type import interval_pb2

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.monitor_spec import describe_input
from transak_drift.vertex.monitors import FAILED, id_of, monitors_of
from transak_drift.vertex.objective_reading import ObjectiveReading, row_count_of

_SUCCEEDED = (State.JOB_STATE_SUCCEEDED, State.JOB_STATE_PARTIALLY_SUCCEEDED)

Interval = tuple[datetime | None, datetime | None]

_OWN_ID = re.compile(
    r"(?:(?P<length>day|week)-(?P<day>[0-9]{8})|month-(?P<month>[0-9]{6}))-[0-9a-f]{12}(?:-[0-9]+)?"
)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_METHOD = "as Vertex AI reports them; its numerical histograms come from a quantile sketch"


@dataclass(frozen=True, slots=True)
class VertexMonitoringJobs:
    """Implements `MonitoringJobs` with the clients of a location."""

    connection: VertexConnection

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        model = find_model(self.connection, config)
        monitors = monitors_of(self.connection, model)
        names = [model.name, *(monitor.name for monitor in monitors)]
        projects = {config.project_id, *(name.split("/")[1] for name in names)}
        if config.project_number is not None:
            projects.add(config.project_number)
        monitor_ids = tuple(id_of(monitor) for monitor in monitors)
        return OwnMonitors(frozenset(projects), config.location, monitor_ids)

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        list_jobs = self.connection.model_monitoring.list_model_monitoring_jobs
        found = [
            ListedJob(
                model_monitor_id=monitor_id,
                monitoring_job_id=job.name.rpartition("/")[2],
                created=job.create_time.astimezone(UTC),
                has_ended=job.state in (*FAILED, *_SUCCEEDED),
            )
            for monitor_id in self.own_monitors(config).monitor_ids
            for job in self.connection.list_all(
                list_jobs, parent=self.connection.name("modelMonitors", monitor_id)
            )
        ]
        return sorted(
            (
                job
                for job in found
                if job.created >= since and _is_of(job.monitoring_job_id, config.windows)
            ),
            key=lambda job: job.created,
        )

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        name = self.connection.name(
            "modelMonitors", model_monitor_id, "modelMonitoringJobs", monitoring_job_id
        )
        state, detail, window, result = JobState.UNFINISHED, "", monitored_window(name), None
        get_job = self.connection.model_monitoring.get_model_monitoring_job
        job = self.connection.find(get_job, name)
        if job is None:
            state, detail = JobState.MISSING, f"{name} was not found: it was deleted"
        elif job.state in FAILED:
            state, window = JobState.FAILED, window_of(job, config.windows)[0]
            detail = (
                f"{name} ended as {State(job.state).name}: {_error_of(job)}; correct the data or "
                "the configuration and start the monitoring of the window again"
            )
        elif job.state in _SUCCEEDED:
            note = ""
            if job.state == State.JOB_STATE_PARTIALLY_SUCCEEDED:
                note = f"the job succeeded only in part: {_error_of(job)}"
            result = _read_result(self.connection, config, name, job, note)
            state, window = JobState.SUCCEEDED, result.window
        ids = (model_monitor_id, monitoring_job_id)
        return MonitoringJob(name, *ids, state, detail, result, window)

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult | None:
        """Read the result of a job; None while it is unfinished.

        Of the name only monitor and job count: no project or location but the configured is asked.
        `MonitoringRunFailedError` is raised where the job ended without a result.
        """
        job = self.read_monitoring_job(config, *parse_monitoring_job_name(job_name)[2:])
        if job.state == JobState.FAILED:
            raise MonitoringRunFailedError(job.detail)
        if job.state == JobState.MISSING:
            raise PlatformError(job.detail)
        return job.result

    def recent_results(self, config: MonitoringConfig, limit: int) -> list[dict[str, object]]:
        """List the latest jobs with what they found, one row a job, newest first, for people."""
        listed = self.list_monitoring_jobs(config, datetime.fromtimestamp(0, UTC))
        return [self._row(config, job) for job in reversed(listed[-limit:])]

    def _row(self, config: MonitoringConfig, listed: ListedJob) -> dict[str, object]:
        distances: dict[str, object] = dict.fromkeys(config.thresholds)
        row = {"job": listed.monitoring_job_id, "window": "", **distances}
        try:
            job = self.read_monitoring_job(
                config, listed.model_monitor_id, listed.monitoring_job_id
            )
        except PlatformError as error:
            return {**row, "verdict": str(error)[:200]}
        if job.result is None:
            detail = job.detail.removeprefix(f"{job.name} ")[:200]
            return {**row, "verdict": detail or "still running"}
        for feature in job.result.features:
            if feature.feature in distances and feature.distance is not None:
                row[feature.feature] = round(feature.distance, 6)
        verdict = "drift" if job.result.drifted else "ok"
        return {**row, "window": job.result.window.key, "verdict": verdict}


def _is_of(job_id: str, windows: WindowCalendar) -> bool:
    """Return whether a job may be of these windows: false of ours from when others were set."""
    window = monitored_window(job_id)
    return window is None or window.length == windows.length


def monitored_window(job_name: str) -> Window | None:
    """Read the monitored window from a job's name, or from a drift event's key.

    It is None where another than `start_monitoring_run` has started the job.
    """
    match = _OWN_ID.fullmatch(job_name.rpartition("/")[2])
    try:
        if match is None:
            return None
        if month := match["month"]:
            return WindowCalendar("month").parse(f"{month[:4]}-{month[4:]}")
        length = "week" if match["length"] == "week" else "day"
        day = match["day"]
        return WindowCalendar(length).parse(f"{day[:4]}-{day[4:6]}-{day[6:]}")
    except ValueError:
        return None


def window_of(
    job: ModelMonitoringJob, windows: WindowCalendar
) -> tuple[Window, datetime | None, datetime]:
    """Find the window that a job's target dataset ends in, and the dataset's start and end.

    It is what the job says of the processed dataset, else the time that was asked for, else the
    window in the id of a job of ours, else the scheduled time, else the time of the job's creation.
    The end is exclusive; the start is None where only the end is known.
    """
    created = job.create_time.astimezone(UTC)
    # A window may be monitored before it ends; one that ends later still is no window of data.
    latest = windows.bounds(windows.of_moment(created))[1] + timedelta(days=1)
    start, end = next(
        (start, end)
        for start, end in _candidates(job, created, windows)
        if end is not None and _EARLIEST < end <= latest
    )
    if start is not None and not _EARLIEST <= start < end:
        start = None
    return windows.ending_at(end), start, end


def _candidates(
    job: ModelMonitoringJob, created: datetime, windows: WindowCalendar
) -> Iterator[Interval]:
    datasets = job.job_execution_detail.target_datasets
    processed = [_bounds(dataset.time_range) for dataset in datasets if "time_range" in dataset]
    starts = [start for start, _ in processed if start is not None]
    yield min(starts, default=None), max((end for _, end in processed if end), default=None)
    target = job.model_monitoring_spec.objective_spec.target_dataset
    if "time_interval" in target:
        yield _bounds(target.time_interval)
    window = monitored_window(job.name)
    if window is not None and window.last_day < date.max:
        yield windows.bounds(window)
    if job.schedule_time:
        yield None, job.schedule_time.astimezone(UTC)
    yield None, max(created, _EARLIEST + timedelta(days=1))


def _bounds(interval: interval_pb2.Interval) -> Interval:
    def bound(field: str) -> datetime | None:
        try:
            return getattr(interval, field).ToDatetime(UTC) if interval.HasField(field) else None
        except (ValueError, OverflowError):
            return None

    return bound("start_time"), bound("end_time")


def _error_of(job: ModelMonitoringJob) -> str:
    detail = job.job_execution_detail
    texts = [detail.error.message] if detail.error.message else []
    texts += [
        f"{objective}: {status.message}"
        for objective, status in detail.objective_status.items()
        if status.message
    ]
    return "; ".join(texts) or "Vertex AI gives no reason"


def _read_result(
    connection: VertexConnection,
    config: MonitoringConfig,
    name: str,
    job: types.ModelMonitoringJob,
    note: str,
) -> MonitoringResult:
    """Read the result of a job, with a note for people where there is one."""
    window, window_start, window_end = window_of(job, config.windows)
    objectives = dict.fromkeys(map(config.objective, config.thresholds))
    readings = [ObjectiveReading(connection, config, name, job, item) for item in objectives]
    alerts = [
        f"{column}: {alert.summary}"
        for reading in readings
        for column, alert in sorted(reading.alerts.items())
    ]
    points = [point for reading in readings for point in reading.points.values()]
    # What was processed is certain; the monitor's may have changed with the model since.
    processed = (item.location for item in job.job_execution_detail.baseline_datasets)
    baseline = describe_input(job.model_monitoring_spec.objective_spec.baseline_dataset)
    baseline = baseline or next(processed, "")
    return MonitoringResult(
        job_name=name,
        window=window,
        baseline_name=baseline or describe_input(readings[0].monitor.training_dataset),
        baseline_rows=row_count_of(point.baseline_stats for point in points),
        target_rows=row_count_of(point.current_stats for point in points),
        features=tuple(item for reading in readings for item in reading.features()),
        quality=tuple(
            item
            for reading in readings
            if reading.objective == "feature"
            for item in reading.quality()
        ),
        method=_METHOD,
        alerts=(*alerts, note) if note else tuple(alerts),
        window_start=window_start,
        window_end=window_end,
    ).judged(config.retrain_policy)
