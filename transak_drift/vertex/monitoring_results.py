"""What a monitoring job found: its statistics and alerts as one result.

Anybody may have started the job, so that its specification may leave out what its monitor says,
and nothing that it reports is taken for granted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.dataset_input import describe_input
from transak_drift.vertex.feature_distribution import contributors, row_count
from transak_drift.vertex.monitor_spec import CATEGORICAL_METRIC, NUMERICAL_METRIC
from transak_drift.vertex.monitoring_window import window_of
from transak_drift.vertex.monitors import read_monitor

_OBJECTIVE = "raw-feature-drift"
_ROUNDING = 1e-9
METHOD = "as Vertex AI reports them; its numerical histograms come from a quantile sketch"
_DriftSpec = types.ModelMonitoringObjectiveSpec.DataDriftSpec


def error_of(job: types.ModelMonitoringJob) -> str:
    """Return what a job says of its failure, or of the part of it that failed."""
    detail = job.job_execution_detail
    texts = [detail.error.message] if detail.error.message else []
    texts += [
        f"{objective}: {status.message}"
        for objective, status in detail.objective_status.items()
        if status.message
    ]
    return "; ".join(texts) or "Vertex AI gives no reason"


class _Alert(NamedTuple):
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
        job: types.ModelMonitoringJob,
    ) -> None:
        self._connection = connection
        self._config = config
        self._name = name
        self._job = job
        self._objective = job.model_monitoring_spec.objective_spec
        self._drift_spec = self._objective.tabular_objective.feature_drift_spec
        self._monitor_name, _, self._job_id = name.partition("/modelMonitoringJobs/")

    def result(self, note: str) -> MonitoringResult:
        """Read the result, with a note for people where there is one."""
        day, window_start, window_end = window_of(self._job)
        alerts = [f"{feature}: {alert.summary}" for feature, alert in sorted(self._alerts.items())]
        return MonitoringResult(
            job_name=self._name,
            day=day,
            baseline_name=self._baseline_name(),
            baseline_rows=self._rows("baseline_stats"),
            target_rows=self._rows("current_stats"),
            features=tuple(self._feature_drift(feature) for feature in self._features()),
            method=METHOD,
            alerts=(*alerts, note) if note else tuple(alerts),
            window_start=window_start,
            window_end=window_end,
        )

    @cached_property
    def _monitor(self) -> types.ModelMonitor:
        return read_monitor(self._connection, self._monitor_name.rpartition("/")[2])

    def _baseline_name(self) -> str:
        processed = self._job.job_execution_detail.baseline_datasets
        return (
            describe_input(self._objective.baseline_dataset)
            or next((dataset.location for dataset in processed if dataset.location), "")
            or describe_input(self._monitor.training_dataset)
        )

    def _rows(self, side: str) -> int | None:
        counts = (
            row_count(_value(point, side).get("distribution")) for point in self._points.values()
        )
        return next((count for count in counts if count is not None), None)

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
        kind = self._config.feature_type(feature)
        if kind is None and point.get("algorithm") == NUMERICAL_METRIC:
            kind = "numerical"
        current, baseline = _value(point, "current_stats"), _value(point, "baseline_stats")
        # ProtoJSON writes what is not finite as text.
        reported = float(current["distribution_deviation"]) if current else None
        if alert is not None and not reported:
            reported = alert.distance
        distance, note = None, ""
        if reported is None:
            note = alert.summary if alert else f"Vertex AI reports no statistics of {feature}"
        elif 0 <= reported <= 1 + _ROUNDING:
            distance = min(reported, 1.0)
        else:
            note = f"Vertex AI reports the distance {reported:g}, which is not between 0 and 1"
        threshold = self._threshold(feature, point, alert, is_numerical=kind == "numerical")
        if threshold is None:
            note = note or "neither the job nor its monitor has a threshold"
        return FeatureDrift(
            feature=feature,
            metric=point.get("algorithm")
            or (NUMERICAL_METRIC if kind == "numerical" else CATEGORICAL_METRIC),
            distance=distance,
            threshold=1.0 if threshold is None else threshold,
            contributors=contributors(baseline.get("distribution"), current.get("distribution")),
            note=note,
        )

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
        points: dict[str, dict[str, Any]] = {}
        for stats in self._search(
            search, "Stats", {"stats_filter": {"tabular_stats_filter": self._wanted}}
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
        alerts: dict[str, _Alert] = {}
        for alert in self._search(search, "Alerts", self._wanted):
            if self._is_of_job(alert.anomaly.model_monitoring_job, alert.objective_type):
                anomaly = alert.anomaly.tabular_anomaly
                number = anomaly.anomaly if isinstance(anomaly.anomaly, float) else None
                found = _Alert(number, _set_threshold(anomaly.condition), anomaly.summary)
                alerts.setdefault(alert.stats_name, found)
        return alerts

    @property
    def _wanted(self) -> dict[str, str]:
        # Perhaps compared as text: the job's name as Vertex AI writes it.
        return {"model_monitoring_job": self._job.name, "objective_type": _OBJECTIVE}

    def _search(
        self, search: Callable[..., Any], what: str, wanted: Mapping[str, Any]
    ) -> list[Any]:
        return self._connection.list_all(
            search,
            f"aiplatform.modelMonitors.searchModelMonitoring{what}",
            self._monitor_name,
            model_monitor=self._monitor_name,
            **wanted,
        )

    def _is_of_job(self, job_name: str, objective: str) -> bool:
        # A filter that Vertex AI does not honour would give another job's distances.
        return job_name.rpartition("/")[2] in ("", self._job_id) and objective in ("", _OBJECTIVE)


def _value(point: Mapping[str, Any], side: str) -> dict[str, Any]:
    return point.get(side, {}).get("distribution_value") or {}


def _condition(spec: _DriftSpec, feature: str, *, is_numerical: bool) -> float | None:
    found = None
    if feature in spec.feature_alert_conditions:
        found = _set_threshold(spec.feature_alert_conditions[feature])
    if found is not None:
        return found
    return _set_threshold(
        spec.default_numeric_alert_condition
        if is_numerical
        else spec.default_categorical_alert_condition
    )


def _set_threshold(condition: types.ModelMonitoringAlertCondition) -> float | None:
    return _finite(condition.threshold) if "threshold" in condition else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
