"""What a monitoring job found: its statistics and alerts as one result.

Anybody may have started the job, so that its specification may leave out what its monitor says,
and nothing that it reports is taken for granted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import describe_input
from transak_drift.vertex.feature_distribution import contributors, row_count
from transak_drift.vertex.monitor_spec import CATEGORICAL_METRIC, NUMERICAL_METRIC
from transak_drift.vertex.monitoring_window import window_of
from transak_drift.vertex.monitors import read_monitor

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1beta1.types import (
        ModelMonitor,
        ModelMonitoringAlertCondition,
        ModelMonitoringJob,
        ModelMonitoringObjectiveSpec,
    )

OBJECTIVE = "raw-feature-drift"
_ROUNDING = 1e-9


def error_of(job: ModelMonitoringJob) -> str:
    """Return what a job says of its failure, or of the part of it that failed."""
    detail = job.job_execution_detail
    texts = [detail.error.message] + [
        f"{objective}: {status.message}" for objective, status in detail.objective_status.items()
    ]
    return "; ".join(text for text in texts if not text.endswith(": ") and text) or (
        "Vertex AI gives no reason"
    )


@dataclass(frozen=True, slots=True)
class _Alert:
    distance: float | None
    threshold: float | None
    summary: str


class JobReading:
    """Reads a job that has succeeded; the monitor is only read where the job leaves something out.

    Only the name, of the configured project, is called; the job's own has the project's number.
    """

    def __init__(
        self,
        connection: VertexConnection,
        config: MonitoringConfig,
        name: str,
        job: ModelMonitoringJob,
    ) -> None:
        self._connection = connection
        self._config = config
        self._name = name
        self._job = job
        self._monitor_name, _, self._job_id = name.partition("/modelMonitoringJobs/")

    def result(self, note: str = "") -> MonitoringResult:
        """Read the result, with a note for people where there is one."""
        day, window_start, window_end = window_of(self._job)
        rows = [_rows(point) for point in self._points.values()]
        return MonitoringResult(
            job_name=self._name,
            day=day,
            baseline_name=self._baseline_name(),
            baseline_rows=next((item[0] for item in rows if item[0] is not None), None),
            target_rows=next((item[1] for item in rows if item[1] is not None), None),
            features=tuple(self._feature_drift(feature) for feature in self._features()),
            alerts=(
                *(f"{feature}: {alert.summary}" for feature, alert in sorted(self._alerts.items())),
                *([note] if note else []),
            ),
            window_start=window_start,
            window_end=window_end,
        )

    @property
    def _drift_spec(self) -> ModelMonitoringObjectiveSpec.DataDriftSpec:
        objective = self._job.model_monitoring_spec.objective_spec
        return objective.tabular_objective.feature_drift_spec

    @cached_property
    def _monitor(self) -> ModelMonitor:
        return read_monitor(self._connection, self._monitor_name.rpartition("/")[2])

    def _baseline_name(self) -> str:
        processed = self._job.job_execution_detail.baseline_datasets
        return (
            describe_input(self._job.model_monitoring_spec.objective_spec.baseline_dataset)
            or next((dataset.location for dataset in processed if dataset.location), "")
            or describe_input(self._monitor.training_dataset)
        )

    def _features(self) -> list[str]:
        drift = self._drift_spec
        found = list(drift.features) or [*drift.feature_alert_conditions, *self._points]
        if not found:
            of_monitor = self._monitor.tabular_objective.feature_drift_spec.features
            schema = self._monitor.model_monitoring_schema.feature_fields
            found = list(of_monitor) or [field.name for field in schema]
        order = {feature: place for place, feature in enumerate(self._config.drift_thresholds)}
        return sorted({*found, *self._alerts}, key=lambda name: (order.get(name, len(order)), name))

    def _feature_drift(self, feature: str) -> FeatureDrift:
        point = self._points.get(feature, {})
        alert = self._alerts.get(feature)
        is_numerical = self._is_numerical(feature, point)
        metric = NUMERICAL_METRIC if is_numerical else CATEGORICAL_METRIC
        current = point.get("current_stats", {}).get("distribution_value") or {}
        baseline = point.get("baseline_stats", {}).get("distribution_value") or {}
        # ProtoJSON writes what is not finite as text.
        reported = float(current["distribution_deviation"]) if current else None
        if alert is not None and not reported:
            reported = alert.distance
        distance, note = _checked(reported)
        if reported is None:
            note = alert.summary if alert else f"Vertex AI reports no statistics of {feature}"
        threshold = self._threshold(feature, point, alert, is_numerical=is_numerical)
        if threshold is None:
            note = note or "neither the job nor its monitor has a threshold"
        return FeatureDrift(
            feature=feature,
            metric=point.get("algorithm") or metric,
            distance=distance,
            threshold=1.0 if threshold is None else threshold,
            contributors=contributors(baseline.get("distribution"), current.get("distribution")),
            note=note,
        )

    def _is_numerical(self, feature: str, point: Mapping[str, Any]) -> bool:
        kind = self._config.feature_type(feature)
        if kind is None:
            return point.get("algorithm") == NUMERICAL_METRIC
        return kind == "numerical"

    def _threshold(
        self, feature: str, point: Mapping[str, Any], alert: _Alert | None, *, is_numerical: bool
    ) -> float | None:
        """Find a threshold: of the job, else of its statistics or alert, else of its monitor."""
        found = _condition(self._drift_spec, feature, is_numerical=is_numerical)
        if found is None:
            found = _finite(float(point.get("threshold_value", 0)) or None)
        if found is None and alert is not None:
            found = alert.threshold
        if found is None:
            of_monitor = self._monitor.tabular_objective.feature_drift_spec
            found = _condition(of_monitor, feature, is_numerical=is_numerical)
        return self._config.drift_thresholds.get(feature) if found is None else found

    @cached_property
    def _points(self) -> dict[str, dict[str, Any]]:
        search = self._connection.model_monitoring.search_model_monitoring_stats
        # Perhaps compared as text: the job's name as Vertex AI writes it.
        wanted = {"model_monitoring_job": self._job.name, "objective_type": OBJECTIVE}
        points: dict[str, dict[str, Any]] = {}
        for stats in self._search(
            search, "Stats", {"stats_filter": {"tabular_stats_filter": wanted}}
        ):
            tabular = stats.tabular_stats
            # Newest first, as "ModelMonitoringTabularStats.data_points" says.
            for point in tabular.data_points:
                if self._is_of_job(point.model_monitoring_job, tabular.objective_type):
                    points.setdefault(tabular.stats_name, type(point).to_dict(point))
        return points

    @cached_property
    def _alerts(self) -> dict[str, _Alert]:
        search = self._connection.model_monitoring.search_model_monitoring_alerts
        wanted = {"model_monitoring_job": self._job.name, "objective_type": OBJECTIVE}
        alerts: dict[str, _Alert] = {}
        for alert in self._search(search, "Alerts", wanted):
            if self._is_of_job(alert.anomaly.model_monitoring_job, alert.objective_type):
                anomaly = alert.anomaly.tabular_anomaly
                found = _Alert(
                    distance=_number(anomaly.anomaly),
                    threshold=_set_threshold(anomaly.condition),
                    summary=anomaly.summary,
                )
                alerts.setdefault(alert.stats_name, found)
        return alerts

    def _search(
        self, search: Callable[..., Any], what: str, wanted: Mapping[str, Any]
    ) -> list[Any]:
        return self._connection.list_all(
            search,
            f"aiplatform.modelMonitors.searchModelMonitoring{what}",
            self._monitor_name,
            {"model_monitor": self._monitor_name, **wanted},
        )

    def _is_of_job(self, job_name: str, objective: str) -> bool:
        # A filter that Vertex AI does not honour would give another job's distances.
        return job_name.rpartition("/")[2] in ("", self._job_id) and objective in ("", OBJECTIVE)


def _condition(
    spec: ModelMonitoringObjectiveSpec.DataDriftSpec, feature: str, *, is_numerical: bool
) -> float | None:
    found = None
    if feature in spec.feature_alert_conditions:
        found = _set_threshold(spec.feature_alert_conditions[feature])
    if found is None:
        found = _set_threshold(
            spec.default_numeric_alert_condition
            if is_numerical
            else spec.default_categorical_alert_condition
        )
    return found


def _set_threshold(condition: ModelMonitoringAlertCondition) -> float | None:
    return _finite(condition.threshold) if "threshold" in condition else None


def _checked(reported: float | None) -> tuple[float | None, str]:
    """Return a distance in [0, 1], or None and why there is none."""
    if reported is None:
        return None, ""
    if 0 <= reported <= 1 + _ROUNDING:
        return min(reported, 1.0), ""
    return None, f"Vertex AI reports the distance {reported:g}, which is not between 0 and 1"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _rows(point: Mapping[str, Any]) -> tuple[int | None, int | None]:
    sides = []
    for name in ("baseline_stats", "current_stats"):
        value = point.get(name, {}).get("distribution_value") or {}
        sides.append(row_count(value.get("distribution")))
    return sides[0], sides[1]
