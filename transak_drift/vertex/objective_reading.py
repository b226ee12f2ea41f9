"""What a monitoring job found by one objective: of the features, or of the predictions.

A job's specification may leave out what its monitor says, and nothing that a job reports is taken
for granted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import Any

from google.cloud.aiplatform_v1beta1 import types
from google.protobuf import json_format

from transak_drift.config.monitoring_config import MonitoringConfig, Objective
from transak_drift.drift.data_quality import FeatureQuality
from transak_drift.drift.monitoring_result import FeatureDrift
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.feature_distribution import (
    by_chance,
    contributors,
    feature_quality,
    row_count,
)
from transak_drift.vertex.monitor_spec import NUMERICAL_METRIC

_OBJECTIVE_TYPES: dict[Objective, str] = {
    "feature": "raw-feature-drift",
    "prediction": "prediction-output-drift",
}
_ROUNDING = 1e-9
_Point = types.ModelMonitoringStatsDataPoint
_Anomaly = types.ModelMonitoringAnomaly.TabularAnomaly
_Objective = types.ModelMonitoringObjectiveSpec.TabularObjective
_DriftSpec = types.ModelMonitoringObjectiveSpec.DataDriftSpec


@dataclass(frozen=True)
class ObjectiveReading:
    """Reads what a job found by one objective; the monitor is read for what the job leaves out.

    Only the name, of the configured project, is called; the job's own has the project's number.
    """

    connection: VertexConnection
    config: MonitoringConfig
    name: str
    job: types.ModelMonitoringJob
    objective: Objective

    @property
    def _tabular(self) -> _Objective:
        return self.job.model_monitoring_spec.objective_spec.tabular_objective

    @property
    def _monitor_name(self) -> str:
        return self.name.partition("/modelMonitoringJobs/")[0]

    @cached_property
    def monitor(self) -> types.ModelMonitor:
        get_monitor = self.connection.model_monitoring.get_model_monitor
        return self.connection.call(get_monitor, name=self._monitor_name)

    def features(self) -> list[FeatureDrift]:
        """Return what was found, in the order of the configuration."""
        order = {column: place for place, column in enumerate(self.config.thresholds)}
        found = {
            column
            for column in (*self._names(), *self.alerts)
            # Another's monitor may have a prediction that we have not, or take ours for a feature.
            if self.config.objective(column) == self.objective
        }
        ordered = sorted(found, key=lambda name: (order.get(name, len(order)), name))
        return [self._feature_drift(column) for column in ordered]

    def _names(self) -> Iterable[str]:
        drift = self._spec_of(self._tabular)
        found = list(drift.features) or [*drift.feature_alert_conditions, *self.points]
        if found or (self.objective == "prediction" and self._tabular):
            return found
        of_monitor = self._spec_of(self.monitor.tabular_objective)
        fields = self.monitor.model_monitoring_schema.feature_fields
        if self.objective == "prediction":
            # A model's predictions are only compared where that is asked for.
            fields = self.monitor.model_monitoring_schema.prediction_fields if of_monitor else ()
        return list(of_monitor.features) or [field.name for field in fields]

    def _spec_of(self, objective: _Objective) -> _DriftSpec:
        if self.objective == "prediction":
            return objective.prediction_output_drift_spec
        return objective.feature_drift_spec

    def quality(self) -> Iterator[FeatureQuality]:
        """Return the quality of the data, as far as their statistics are reported."""
        for feature, point in sorted(self.points.items()):
            sides = _distribution(point.baseline_stats), _distribution(point.current_stats)
            if (found := feature_quality(feature, *sides)) is not None:
                yield found

    def _feature_drift(self, feature: str) -> FeatureDrift:
        point, alert = self.points.get(feature, _Point()), self.alerts.get(feature, _Anomaly())
        of_prediction = "categorical" if self.objective == "prediction" else None
        kind = of_prediction or self.config.feature_type(feature)
        is_numerical = point.algorithm == NUMERICAL_METRIC if kind is None else kind == "numerical"
        reported = None
        if "distribution_value" in point.current_stats:
            reported = point.current_stats.distribution_value.distribution_deviation
        if not reported and isinstance(alert.anomaly, float):
            reported = alert.anomaly
        distance, note = None, ""
        if reported is None:
            note = alert.summary or f"Vertex AI reports no statistics of {feature}"
        elif 0 <= reported < 1 + _ROUNDING:
            distance = reported
        else:
            note = f"Vertex AI reports the distance {reported:g}, which is not between 0 and 1"
        thresholds = self._thresholds(feature, point, alert, is_numerical=is_numerical)
        found = (value for value in thresholds if value is not None and math.isfinite(value))
        threshold = next(found, None)
        if threshold is None:
            note = note or "neither the job nor its monitor has a threshold"
        before, now = _distribution(point.baseline_stats), _distribution(point.current_stats)
        default = NUMERICAL_METRIC if is_numerical else self.config.categorical_metric
        metric = point.algorithm or default
        return FeatureDrift(
            feature=feature,
            metric=metric,
            distance=distance,
            threshold=1.0 if threshold is None else threshold,
            contributors=contributors(before, now),
            note=note,
            objective=self.objective,
            by_chance=by_chance(before, now, metric),
        )

    def _thresholds(
        self, feature: str, point: _Point, alert: _Anomaly, *, is_numerical: bool
    ) -> Iterator[float | None]:
        """Find the thresholds of the job, of its statistics and alert, and of its monitor."""
        yield _threshold_in(self._spec_of(self._tabular), feature, is_numerical=is_numerical)
        yield point.threshold_value or None
        yield _threshold_of(alert.condition)
        of_monitor = self._spec_of(self.monitor.tabular_objective)
        yield _threshold_in(of_monitor, feature, is_numerical=is_numerical)
        yield self.config.thresholds.get(feature)

    @cached_property
    def points(self) -> dict[str, _Point]:
        search = self.connection.model_monitoring.search_model_monitoring_stats
        points: dict[str, _Point] = {}
        for stats in self._search(search, stats_filter={"tabular_stats_filter": self._wanted}):
            tabular = stats.tabular_stats
            # Newest first, as "ModelMonitoringTabularStats.data_points" says.
            for point in tabular.data_points:
                if self._is_of_job(point.model_monitoring_job, tabular.objective_type):
                    points.setdefault(tabular.stats_name, point)
        return points

    @cached_property
    def alerts(self) -> dict[str, _Anomaly]:
        search = self.connection.model_monitoring.search_model_monitoring_alerts
        alerts: dict[str, _Anomaly] = {}
        for alert in self._search(search, **self._wanted):
            if self._is_of_job(alert.anomaly.model_monitoring_job, alert.objective_type):
                alerts.setdefault(alert.stats_name, alert.anomaly.tabular_anomaly)
        return alerts

    @property
    def _objective_type(self) -> str:
        return _OBJECTIVE_TYPES[self.objective]

    @property
    def _wanted(self) -> dict[str, str]:
        # Perhaps compared as text: the job's name as Vertex AI writes it.
        return {"model_monitoring_job": self.job.name, "objective_type": self._objective_type}

    def _search(self, search: MethodType, **wanted: Any) -> list[Any]:
        return self.connection.list_all(search, model_monitor=self._monitor_name, **wanted)

    def _is_of_job(self, job_name: str, objective: str) -> bool:
        # A filter that Vertex AI does not honour would give another job's distances.
        job_id = self.name.rpartition("/")[2]
        is_of_objective = objective in ("", self._objective_type)
        return job_name.rpartition("/")[2] in ("", job_id) and is_of_objective


def row_count_of(values: Iterable[_Point.TypedValue]) -> int | None:
    """Return the first number of rows that a distribution tells."""
    counts = (row_count(_distribution(value)) for value in values)
    return next((count for count in counts if count is not None), None)


def _distribution(value: _Point.TypedValue) -> Any:
    reported = _Point.TypedValue.DistributionDataValue.pb(value.distribution_value)
    return json_format.MessageToDict(reported.distribution)


def _threshold_in(spec: _DriftSpec, feature: str, *, is_numerical: bool) -> float | None:
    default = (
        spec.default_numeric_alert_condition
        if is_numerical
        else spec.default_categorical_alert_condition
    )
    return _threshold_of(spec.feature_alert_conditions.get(feature, default))


def _threshold_of(condition: types.ModelMonitoringAlertCondition) -> float | None:
    return condition.threshold if "threshold" in condition else None
