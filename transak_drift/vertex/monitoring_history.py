"""The latest monitoring jobs, for people."""

from __future__ import annotations

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_results import read_monitoring_result


def recent_results(
    connection: VertexConnection, config: MonitoringConfig, monitor: str, limit: int
) -> list[dict[str, object]]:
    """List the latest monitoring jobs with what they found.

    Args:
        connection: the location's clients.
        config: the monitored model.
        monitor: resource name of the ModelMonitor.
        limit: at most so many.

    Returns:
        One row a job, newest first.

    Raises:
        PlatformError: the jobs cannot be listed.
    """
    from google.cloud.aiplatform_v1beta1 import types

    request = types.ListModelMonitoringJobsRequest(parent=monitor, page_size=100)
    with connection.explained("aiplatform.modelMonitoringJobs.list", monitor):
        jobs = list(
            connection.model_monitoring.list_model_monitoring_jobs(
                request=request, **connection.limits.options()
            )
        )
    newest = sorted(jobs, key=lambda job: job.create_time, reverse=True)[:limit]
    return [_row(connection, config, job.name) for job in newest]


def _row(connection: VertexConnection, config: MonitoringConfig, name: str) -> dict[str, object]:
    distances: dict[str, object] = dict.fromkeys(config.drift_thresholds)
    day, verdict = "", "still running"
    try:
        result = read_monitoring_result(connection, config, name)
    except PlatformError as error:
        verdict = str(error).removeprefix(f"{name} ")[:200]
    else:
        if result is not None:
            day = str(result.day)
            verdict = "drift" if result.drifted else "ok"
            for feature in result.features:
                if feature.feature in distances and feature.distance is not None:
                    distances[feature.feature] = round(feature.distance, 6)
    return {"job": name.rpartition("/")[2], "day": day, **distances, "verdict": verdict}
