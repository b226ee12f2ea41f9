"""Reads what a monitoring job found: statistics and alerts, as one result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.platform import MonitoringRunFailedError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import describe_input
from transak_drift.vertex.feature_distribution import contributors, row_count
from transak_drift.vertex.monitor_spec import CATEGORICAL_METRIC, NUMERICAL_METRIC
from transak_drift.vertex.monitoring_job import (
    day_of_job,
    has_failed,
    read_monitoring_job,
)

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob

OBJECTIVE = "raw-feature-drift"


def read_monitoring_result(
    connection: VertexConnection, config: MonitoringConfig, job_name: str
) -> MonitoringResult | None:
    """Read the result of a monitoring job.

    Args:
        connection: the location's clients.
        config: the monitored model.
        job_name: resource name of the job.

    Returns:
        The result, or None while the job is unfinished. The thresholds are those that the job ran
        with. A feature that Vertex AI reports no statistics of has no distance.

    Raises:
        MonitoringRunFailedError: the job ended without a result.
        PlatformError: it cannot be read.
    """
    from google.cloud.aiplatform_v1beta1 import types

    job = read_monitoring_job(connection, job_name)
    if has_failed(job):
        raise MonitoringRunFailedError(
            f"{job_name} ended as {types.JobState(job.state).name}: {_error_of(job)}; correct the "
            "data or the configuration and materialize monitoring_run of the day again"
        )
    if job.state not in (
        types.JobState.JOB_STATE_SUCCEEDED,
        types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED,
    ):
        return None
    points = _statistics(connection, job_name)
    alerts = _alerts(connection, job_name)
    objective = job.model_monitoring_spec.objective_spec
    conditions = objective.tabular_objective.feature_drift_spec.feature_alert_conditions
    features = [
        _feature_drift(feature, points.get(feature), conditions[feature].threshold, config, alerts)
        for feature in _in_order(conditions, config)
    ]
    rows = [_rows(point) for point in points.values()]
    return MonitoringResult(
        job_name=job_name,
        day=day_of_job(job_name),
        baseline_name=describe_input(objective.baseline_dataset),
        baseline_rows=next((item[0] for item in rows if item[0] is not None), None),
        target_rows=next((item[1] for item in rows if item[1] is not None), None),
        features=tuple(features),
        alerts=tuple(f"{feature}: {text}" for feature, text in sorted(alerts.items())),
    )


def _in_order(features: Iterable[str], config: MonitoringConfig) -> list[str]:
    order = {feature: place for place, feature in enumerate(config.drift_thresholds)}
    return sorted(features, key=lambda feature: (order.get(feature, len(order)), feature))


def _feature_drift(
    feature: str,
    point: Mapping[str, Any] | None,
    threshold: float,
    config: MonitoringConfig,
    alerts: Mapping[str, str],
) -> FeatureDrift:
    metric = NUMERICAL_METRIC if config.feature_type(feature) == "numerical" else CATEGORICAL_METRIC
    current = (point or {}).get("current_stats", {}).get("distribution_value")
    if point is None or not isinstance(current, Mapping):
        return FeatureDrift(
            feature=feature,
            metric=metric,
            distance=None,
            threshold=threshold,
            note=alerts.get(feature) or f"Vertex AI reports no statistics of {feature}",
        )
    baseline = point.get("baseline_stats", {}).get("distribution_value") or {}
    return FeatureDrift(
        feature=feature,
        metric=point.get("algorithm") or metric,
        distance=float(current["distribution_deviation"]),
        threshold=float(point.get("threshold_value") or threshold),
        contributors=contributors(baseline.get("distribution"), current.get("distribution")),
    )


def _rows(point: Mapping[str, Any]) -> tuple[int | None, int | None]:
    sides = []
    for name in ("baseline_stats", "current_stats"):
        value = point.get(name, {}).get("distribution_value") or {}
        sides.append(row_count(value.get("distribution")))
    return sides[0], sides[1]


def _statistics(connection: VertexConnection, job_name: str) -> dict[str, dict[str, Any]]:
    from google.cloud.aiplatform_v1beta1 import types

    monitor = job_name.rpartition("/modelMonitoringJobs/")[0]
    request = types.SearchModelMonitoringStatsRequest(
        model_monitor=monitor,
        stats_filter=types.SearchModelMonitoringStatsFilter(
            tabular_stats_filter=types.SearchModelMonitoringStatsFilter.TabularStatsFilter(
                model_monitoring_job=job_name, objective_type=OBJECTIVE
            )
        ),
        page_size=100,
    )
    points: dict[str, dict[str, Any]] = {}
    with connection.explained("aiplatform.modelMonitors.searchModelMonitoringStats", monitor):
        for stats in connection.model_monitoring.search_model_monitoring_stats(
            request=request, **connection.limits.options()
        ):
            tabular = stats.tabular_stats
            if tabular.data_points:
                # Newest first, as "ModelMonitoringTabularStats.data_points" says.
                point = tabular.data_points[0]
                points[tabular.stats_name] = type(point).to_dict(point)
    return points


def _alerts(connection: VertexConnection, job_name: str) -> dict[str, str]:
    from google.cloud.aiplatform_v1beta1 import types

    monitor = job_name.rpartition("/modelMonitoringJobs/")[0]
    request = types.SearchModelMonitoringAlertsRequest(
        model_monitor=monitor,
        model_monitoring_job=job_name,
        objective_type=OBJECTIVE,
        page_size=100,
    )
    with connection.explained("aiplatform.modelMonitors.searchModelMonitoringAlerts", monitor):
        return {
            alert.stats_name: alert.anomaly.tabular_anomaly.summary
            for alert in connection.model_monitoring.search_model_monitoring_alerts(
                request=request, **connection.limits.options()
            )
        }


def _error_of(job: ModelMonitoringJob) -> str:
    detail = job.job_execution_detail
    texts = [detail.error.message] + [
        f"{objective}: {status.message}" for objective, status in detail.objective_status.items()
    ]
    return "; ".join(text for text in texts if text) or "Vertex AI gives no reason"
