"""Monitoring jobs of our model's monitors, whoever started them, and what they found.

A job's specification may leave out what its monitor says, and nothing that a job reports is taken
for granted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from types import MethodType
from typing import Any

from google.cloud.aiplatform_v1beta1 import types
from google.cloud.aiplatform_v1beta1.types import JobState as State
from google.cloud.aiplatform_v1beta1.types import ModelMonitoringJob
from google.protobuf import json_format
from google.type import interval_pb2

from transak_drift.config.monitoring_config import MonitoringConfig, Objective
from transak_drift.config.monitoring_window import Window, WindowCalendar
from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.data_quality import FeatureQuality
from transak_drift.drift.monitoring_job import JobState, ListedJob, MonitoringJob, OwnMonitors
from transak_drift.drift.monitoring_result import FeatureDrift, MonitoringResult
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.feature_distribution import (
    by_chance,
    contributors,
    feature_quality,
    row_count,
)
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.monitor_spec import NUMERICAL_METRIC, describe_input
from transak_drift.vertex.monitors import FAILED, id_of, monitors_of

_SUCCEEDED = (State.JOB_STATE_SUCCEEDED, State.JOB_STATE_PARTIALLY_SUCCEEDED)

Interval = tuple[datetime | None, datetime | None]

_OWN_ID = re.compile(
    r"(?:(?P<length>day|week)-(?P<day>[0-9]{8})|month-(?P<month>[0-9]{6}))-[0-9a-f]{12}(?:-[0-9]+)?"
)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_OBJECTIVE_TYPES: dict[Objective, str] = {
    "feature": "raw-feature-drift",
    "prediction": "prediction-output-drift",
}
_ROUNDING = 1e-9
_METHOD = "as Vertex AI reports them; its numerical histograms come from a quantile sketch"
_Point = types.ModelMonitoringStatsDataPoint
_Anomaly = types.ModelMonitoringAnomaly.TabularAnomaly
_Objective = types.ModelMonitoringObjectiveSpec.TabularObjective
_DriftSpec = types.ModelMonitoringObjectiveSpec.DataDriftSpec


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
        return sorted((job for job in found if job.created >= since), key=lambda job: job.created)

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
    readings = [_JobReading(connection, config, name, job, item) for item in objectives]
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
        baseline_rows=_rows(point.baseline_stats for point in points),
        target_rows=_rows(point.current_stats for point in points),
        features=tuple(item for reading in readings for item in reading.features()),
        quality=tuple(item for reading in readings for item in reading.quality()),
        method=_METHOD,
        alerts=(*alerts, note) if note else tuple(alerts),
        window_start=window_start,
        window_end=window_end,
    ).judged(config.retrain_policy)


@dataclass(frozen=True)
class _JobReading:
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


def _rows(values: Iterable[_Point.TypedValue]) -> int | None:
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
