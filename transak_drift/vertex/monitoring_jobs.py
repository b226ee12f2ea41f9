"""Monitoring jobs of our model's monitors, whoever started them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from google.cloud.aiplatform_v1beta1.types import JobState as State
from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_results import JobReading, error_of
from transak_drift.vertex.monitoring_window import monitored_day, window_of
from transak_drift.vertex.monitors import name_of, own_monitors

_FAILED = (State.JOB_STATE_FAILED, State.JOB_STATE_CANCELLED, State.JOB_STATE_EXPIRED)
_SUCCEEDED = (State.JOB_STATE_SUCCEEDED, State.JOB_STATE_PARTIALLY_SUCCEEDED)


@dataclass(frozen=True, slots=True)
class VertexMonitoringJobs:
    """Implements `MonitoringJobs` with the clients of a location."""

    connection: VertexConnection

    def own_monitors(self, config: MonitoringConfig) -> OwnMonitors:
        return own_monitors(self.connection, config)

    def list_monitoring_jobs(self, config: MonitoringConfig, since: datetime) -> list[ListedJob]:
        found: list[ListedJob] = []
        for monitor_id in self.own_monitors(config).monitor_ids:
            parent = name_of(self.connection, monitor_id)
            jobs = self.connection.list_all(
                self.connection.model_monitoring.list_model_monitoring_jobs,
                "aiplatform.modelMonitoringJobs.list",
                parent,
                parent=parent,
            )
            found += [
                ListedJob(
                    model_monitor_id=monitor_id,
                    monitoring_job_id=job.name.rpartition("/")[2],
                    created=job.create_time.astimezone(UTC),
                    has_ended=job.state in (*_FAILED, *_SUCCEEDED),
                )
                for job in jobs
            ]
        return sorted((job for job in found if job.created >= since), key=lambda job: job.created)

    def read_monitoring_job(
        self, config: MonitoringConfig, model_monitor_id: str, monitoring_job_id: str
    ) -> MonitoringJob:
        monitor = name_of(self.connection, model_monitor_id)
        name = f"{monitor}/modelMonitoringJobs/{monitoring_job_id}"

        def answer(
            state: JobState, detail: str, day: date | None, result: MonitoringResult | None = None
        ) -> MonitoringJob:
            return MonitoringJob(
                name, model_monitor_id, monitoring_job_id, state, detail, result, day
            )

        job = get_job(self.connection, name)
        if job is None:
            detail = f"{name} was not found: it was deleted"
            return answer(JobState.MISSING, detail, monitored_day(name))
        if has_failed(job):
            detail = (
                f"{name} ended as {State(job.state).name}: {error_of(job)}; correct the data or "
                "the configuration and start the monitoring of the day again"
            )
            return answer(JobState.FAILED, detail, window_of(job)[0])
        if job.state not in _SUCCEEDED:
            return answer(JobState.UNFINISHED, "", monitored_day(name))
        note = ""
        if job.state == State.JOB_STATE_PARTIALLY_SUCCEEDED:
            note = f"the job succeeded only in part: {error_of(job)}"
        result = JobReading(self.connection, config, name, job).result(note)
        return answer(JobState.SUCCEEDED, "", result.day, result)

    def monitoring_result(self, config: MonitoringConfig, job_name: str) -> MonitoringResult | None:
        """Read the result of a job; None while it is unfinished.

        Of the name only monitor and job count: no project or location but the configured is asked.

        Raises:
            MonitoringRunFailedError: the job ended without a result.
            PlatformError: it does not exist, or cannot be read.
        """
        _, _, monitor_id, job_id = parse_monitoring_job_name(job_name)
        job = self.read_monitoring_job(config, monitor_id, job_id)
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
        distances: dict[str, object] = dict.fromkeys(config.drift_thresholds)
        row = {"job": listed.monitoring_job_id, "day": "", **distances}
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
        return {**row, "day": str(job.result.day), "verdict": verdict}


def get_job(connection: VertexConnection, name: str) -> ModelMonitoringJob | None:
    """Read a job as Vertex AI has it; None where it does not exist."""
    get = connection.model_monitoring.get_model_monitoring_job
    return connection.find(get, "aiplatform.modelMonitoringJobs.get", name)


def has_failed(job: ModelMonitoringJob) -> bool:
    return job.state in _FAILED
