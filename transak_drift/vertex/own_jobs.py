"""The monitors of our model and their jobs, by Vertex AI's own answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.api_core import exceptions

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import model_monitor_name, monitoring_job_name
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.monitoring_job import monitored_day
from transak_drift.vertex.monitoring_results import read_monitoring_result

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import ModelMonitor


@dataclass(frozen=True, slots=True)
class VertexMonitoringJobs:
    """Implements `MonitoringJobs`, for those who need no more of the platform.

    Args:
        connection: the location's clients.
    """

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
        return look_up_job(self.connection, config, model_monitor_id, monitoring_job_id)


def own_monitors(connection: VertexConnection, config: MonitoringConfig) -> OwnMonitors:
    """Find the monitors whose target is our model, whoever made them."""
    model_id = find_model(connection, config).model.rpartition("/")[2]
    endpoint = connection.endpoint
    monitors = [
        monitor.name.split("/")
        for monitor in _list_monitors(connection)
        if monitor.model_monitoring_target.vertex_model.model.rpartition("/")[2] == model_id
    ]
    numbers = {endpoint.project_id, *(parts[1] for parts in monitors)}
    if config.project_number is not None:
        numbers.add(config.project_number)
    return OwnMonitors(
        projects=frozenset(numbers),
        location=endpoint.location,
        monitor_ids=tuple(parts[5] for parts in monitors),
    )


def list_monitoring_jobs(
    connection: VertexConnection, config: MonitoringConfig, since: datetime
) -> list[ListedJob]:
    """List the jobs of all own monitors that were created at or after a time, oldest first."""
    from google.cloud.aiplatform_v1beta1 import types

    unfinished = (types.JobState.JOB_STATE_PENDING, types.JobState.JOB_STATE_RUNNING)
    found: list[ListedJob] = []
    for monitor_id in own_monitors(connection, config).monitor_ids:
        endpoint = connection.endpoint
        parent = model_monitor_name(endpoint.project_id, endpoint.location, monitor_id)
        request = types.ListModelMonitoringJobsRequest(parent=parent, page_size=100)
        with connection.explained("aiplatform.modelMonitoringJobs.list", parent):
            found += [
                ListedJob(
                    model_monitor_id=monitor_id,
                    monitoring_job_id=job.name.rpartition("/")[2],
                    created=job.create_time.astimezone(UTC),
                    has_ended=job.state not in unfinished,
                )
                for job in connection.model_monitoring.list_model_monitoring_jobs(
                    request=request, **connection.limits.options()
                )
                if job.create_time.astimezone(UTC) >= since
            ]
    return sorted(found, key=lambda job: job.created)


def look_up_job(
    connection: VertexConnection,
    config: MonitoringConfig,
    model_monitor_id: str,
    monitoring_job_id: str,
) -> MonitoringJob:
    """Read a job of an own monitor and, where it has succeeded, what it found."""
    endpoint = connection.endpoint
    name = monitoring_job_name(
        endpoint.project_id, endpoint.location, model_monitor_id, monitoring_job_id
    )

    def job(state: JobState, detail: str = "") -> MonitoringJob:
        day = monitored_day(name)
        return MonitoringJob(name, model_monitor_id, monitoring_job_id, state, detail, day=day)

    try:
        result = read_monitoring_result(connection, config, name)
    except MonitoringRunFailedError as error:
        return job(JobState.FAILED, str(error))
    except PlatformError as error:
        if isinstance(error.__cause__, exceptions.NotFound):
            return job(JobState.MISSING, str(error))
        raise
    if result is None:
        return job(JobState.UNFINISHED)
    return MonitoringJob(
        name, model_monitor_id, monitoring_job_id, JobState.SUCCEEDED, result=result
    )


def _list_monitors(connection: VertexConnection) -> list[ModelMonitor]:
    from google.cloud.aiplatform_v1beta1 import types

    parent = connection.endpoint.parent
    request = types.ListModelMonitorsRequest(parent=parent, page_size=100)
    with connection.explained("aiplatform.modelMonitors.list", parent):
        return list(
            connection.model_monitoring.list_model_monitors(
                request=request, **connection.limits.options()
            )
        )
