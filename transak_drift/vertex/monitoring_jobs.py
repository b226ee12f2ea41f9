"""Monitoring jobs of our model's monitors, whoever started them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_results import JobReading, error_of
from transak_drift.vertex.monitoring_window import monitored_day, window_of
from transak_drift.vertex.monitors import name_of, own_monitors

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1 import types


@dataclass(frozen=True, slots=True)
class VertexMonitoringJobs:
    """Implements `MonitoringJobs` with the clients of a location."""

    connection: VertexConnection

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        """See `MonitoringJobs`."""
        return own_monitors(self.connection, config)

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        """See `MonitoringJobs`."""
        return list_monitoring_jobs(self.connection, config, since)

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        """See `MonitoringJobs`."""
        return read_monitoring_job(self.connection, config, model_monitor_id, monitoring_job_id)


def list_monitoring_jobs(
    connection: VertexConnection, config: MonitoringConfig, since: datetime
) -> list[ListedJob]:
    """See `DriftPlatform.list_monitoring_jobs`."""
    found: list[ListedJob] = []
    for monitor_id in own_monitors(connection, config).monitor_ids:
        parent = name_of(connection, monitor_id)
        jobs = connection.list_all(
            connection.model_monitoring.list_model_monitoring_jobs,
            "aiplatform.modelMonitoringJobs.list",
            parent,
            {"parent": parent},
        )
        found += [
            ListedJob(
                model_monitor_id=monitor_id,
                monitoring_job_id=job.name.rpartition("/")[2],
                created=job.create_time.astimezone(UTC),
                has_ended=has_failed(job) or has_result(job),
            )
            for job in jobs
            if job.create_time.astimezone(UTC) >= since
        ]
    return sorted(found, key=lambda job: job.created)


def read_monitoring_job(
    connection: VertexConnection, config: MonitoringConfig, model_monitor_id: str, job_id: str
) -> MonitoringJob:
    """See `DriftPlatform.read_monitoring_job`."""
    from google.cloud.aiplatform_v1beta1 import types

    name = f"{name_of(connection, model_monitor_id)}/modelMonitoringJobs/{job_id}"

    def answer(state: JobState, detail: str, day: date | None) -> MonitoringJob:
        return MonitoringJob(name, model_monitor_id, job_id, state, detail, day=day)

    job = get_job(connection, name)
    if job is None:
        return answer(
            JobState.MISSING, f"{name} was not found: it was deleted", monitored_day(name)
        )
    if has_failed(job):
        state = types.JobState(job.state).name
        return answer(
            JobState.FAILED,
            f"{name} ended as {state}: {error_of(job)}; correct the data or the configuration "
            "and start the monitoring of the day again",
            window_of(job)[0],
        )
    if not has_result(job):
        return answer(JobState.UNFINISHED, "", monitored_day(name))
    note = ""
    if job.state == types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED:
        note = f"the job succeeded only in part: {error_of(job)}"
    result = JobReading(connection, config, name, job).result(note)
    return MonitoringJob(
        name, model_monitor_id, job_id, JobState.SUCCEEDED, result=result, day=result.day
    )


def read_monitoring_result(
    connection: VertexConnection, config: MonitoringConfig, job_name: str
) -> MonitoringResult | None:
    """Read the result of a job; None while it is unfinished.

    Args:
        connection: the location's clients.
        config: the monitored model; its project and location are asked, no others.
        job_name: resource name of the job.

    Raises:
        MonitoringRunFailedError: the job ended without a result.
        PlatformError: it does not exist, or cannot be read.
    """
    _, _, monitor_id, job_id = parse_monitoring_job_name(job_name)
    job = read_monitoring_job(connection, config, monitor_id, job_id)
    if job.state == JobState.FAILED:
        raise MonitoringRunFailedError(job.detail)
    if job.state == JobState.MISSING:
        raise PlatformError(job.detail)
    return job.result


def recent_results(
    connection: VertexConnection, config: MonitoringConfig, limit: int
) -> list[dict[str, object]]:
    """List the latest jobs with what they found, one row a job, newest first, for people."""
    listed = list_monitoring_jobs(connection, config, datetime.fromtimestamp(0, UTC))
    return [_row(connection, config, job) for job in reversed(listed[-limit:])]


def get_job(connection: VertexConnection, name: str) -> types.ModelMonitoringJob | None:
    """Read a job as Vertex AI has it; None where it does not exist."""
    get = connection.model_monitoring.get_model_monitoring_job
    return connection.find(get, "aiplatform.modelMonitoringJobs.get", name, {"name": name})


def has_failed(job: types.ModelMonitoringJob) -> bool:
    """Return whether a job has ended without a result."""
    from google.cloud.aiplatform_v1beta1 import types

    states = types.JobState
    return job.state in (
        states.JOB_STATE_FAILED,
        states.JOB_STATE_CANCELLED,
        states.JOB_STATE_EXPIRED,
    )


def has_result(job: types.ModelMonitoringJob) -> bool:
    """Return whether a job has ended with a result."""
    from google.cloud.aiplatform_v1beta1 import types

    states = types.JobState
    return job.state in (states.JOB_STATE_SUCCEEDED, states.JOB_STATE_PARTIALLY_SUCCEEDED)


def _row(
    connection: VertexConnection, config: MonitoringConfig, listed: ListedJob
) -> dict[str, object]:
    distances: dict[str, object] = dict.fromkeys(config.drift_thresholds)
    row = {"job": listed.monitoring_job_id, "day": "", **distances}
    try:
        job = read_monitoring_job(
            connection, config, listed.model_monitor_id, listed.monitoring_job_id
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
    return {**row, "day": str(job.result.day), "verdict": verdict}
