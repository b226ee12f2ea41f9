"""google.cloud.aiplatform.v1beta1.ModelMonitoringService: monitors, jobs, statistics, alerts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2
from google.rpc import status_pb2

from transak_drift_tests.servers.location import Location
from transak_drift_tests.servers.monitoring_analysis import FeatureAnalysis, JobAnalysis
from transak_drift_tests.servers.operations import Operations
from transak_drift_tests.servers.paging import page
from transak_drift_tests.servers.rpc import Method
from transak_drift_tests.servers.status import (
    RefusedError,
    already_exists,
    invalid,
    not_found,
)

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_CHANNEL = re.compile(r"projects/[^/]+/notificationChannels/[^/]+")
_DATA_TYPES = {"float", "integer", "boolean", "string", "categorical"}
_UPDATABLE = {
    "display_name",
    "model_monitoring_target",
    "training_dataset",
    "tabular_objective",
    "notification_spec",
    "output_spec",
    "explanation_spec",
    "model_monitoring_schema",
}
LARGEST_PAGE = 3
OBJECTIVE = "raw-feature-drift"


class ModelMonitoring:
    """The monitors of one location, and their jobs.

    Args:
        location: the location.
        operations: runs what takes longer than a call.
        has_model: tells whether a model of that resource name exists.
        analyse: compares a job's datasets; raises RefusedError where it cannot.
        log_anomalies: called with a finished job and what it found above a threshold.
    """

    service = "google.cloud.aiplatform.v1beta1.ModelMonitoringService"

    def __init__(
        self,
        location: Location,
        operations: Operations,
        has_model: Callable[[str], bool],
        analyse: Callable[[types.ModelMonitoringJob], JobAnalysis],
        log_anomalies: Callable[[types.ModelMonitoringJob, list[FeatureAnalysis]], None],
    ) -> None:
        self._location = location
        self._operations = operations
        self._has_model = has_model
        self._analyse = analyse
        self._log_anomalies = log_anomalies
        self._monitors: dict[str, types.ModelMonitor] = {}
        self._creating: set[str] = set()
        self._jobs: dict[str, types.ModelMonitoringJob] = {}
        self._analyses: dict[str, JobAnalysis] = {}
        self._looks: dict[str, int] = {}
        self._numbers = itertools.count(501)
        self.job_looks = 1

    def methods(self) -> dict[str, tuple[type, Method]]:
        """Return the methods by name."""
        return {
            "CreateModelMonitor": (types.CreateModelMonitorRequest, self._create_monitor),
            "UpdateModelMonitor": (types.UpdateModelMonitorRequest, self._update_monitor),
            "GetModelMonitor": (types.GetModelMonitorRequest, self._get_monitor),
            "ListModelMonitors": (types.ListModelMonitorsRequest, self._list_monitors),
            "CreateModelMonitoringJob": (types.CreateModelMonitoringJobRequest, self._create_job),
            "GetModelMonitoringJob": (types.GetModelMonitoringJobRequest, self._get_job),
            "ListModelMonitoringJobs": (types.ListModelMonitoringJobsRequest, self._list_jobs),
            "SearchModelMonitoringStats": (
                types.SearchModelMonitoringStatsRequest,
                self._search_stats,
            ),
            "SearchModelMonitoringAlerts": (
                types.SearchModelMonitoringAlertsRequest,
                self._search_alerts,
            ),
        }

    def monitors(self) -> list[types.ModelMonitor]:
        """Return the monitors."""
        return list(self._monitors.values())

    def jobs(self) -> list[types.ModelMonitoringJob]:
        """Return the jobs, oldest first."""
        return list(self._jobs.values())

    def delete_monitors(self) -> None:
        """Delete every monitor, as another client would have."""
        self._monitors.clear()

    def finish_at_next_look(self, job_name: str) -> None:
        """Let a job end when it is looked at next."""
        if job_name in self._looks:
            self._looks[job_name] = 1

    def put_monitor(self, monitor: types.ModelMonitor, monitor_id: str | None = None) -> str:
        """Put a monitor there as another client would have; returns its resource name."""
        name = f"{self._location.parent}/modelMonitors/{monitor_id or next(self._numbers)}"
        monitor.name = name
        self._monitors[name] = monitor
        return name

    def _create_monitor(self, request: Any) -> operations_pb2.Operation:
        self._location.canonical(request.parent, "aiplatform.modelMonitors.create")
        monitor_id = request.model_monitor_id or str(next(self._numbers))
        if request.model_monitor_id and _ID.fullmatch(monitor_id) is None:
            raise invalid(f"model_monitor_id {monitor_id!r} is not valid")
        name = f"{self._location.parent}/modelMonitors/{monitor_id}"
        if name in self._monitors or name in self._creating:
            raise already_exists(name)
        monitor = types.ModelMonitor(request.model_monitor)
        self._check(monitor)
        self._creating.add(name)

        def work() -> types.ModelMonitor:
            now = datetime.now(UTC)
            monitor.name, monitor.create_time, monitor.update_time = name, now, now
            self._creating.discard(name)
            self._monitors[name] = self._as_answered(monitor)
            return monitor

        return self._operations.start(name, work)

    def _update_monitor(self, request: Any) -> operations_pb2.Operation:
        name = self._location.canonical(request.model_monitor.name)
        monitor = self._monitors.get(name)
        if monitor is None:
            raise not_found(name)
        paths = list(request.update_mask.paths)
        wrong = [path for path in paths if path.partition(".")[0] not in _UPDATABLE]
        if not paths or wrong:
            raise invalid(f"update_mask {paths} is empty or names fields that cannot be updated")
        updated = types.ModelMonitor(monitor)
        for path in paths:
            _copy(
                types.ModelMonitor.pb(request.model_monitor), types.ModelMonitor.pb(updated), path
            )
        self._check(updated)

        def work() -> types.ModelMonitor:
            updated.update_time = datetime.now(UTC)
            self._monitors[name] = self._as_answered(updated)
            return updated

        return self._operations.start(name, work)

    def _as_answered(self, monitor: types.ModelMonitor) -> types.ModelMonitor:
        # The API answers with the project's number, whatever the request named it by.
        source = monitor.model_monitoring_target.vertex_model
        source.model = f"{self._location.parent}/models/{source.model.rpartition('/')[2]}"
        return monitor

    def _check(self, monitor: types.ModelMonitor) -> None:
        if not monitor.display_name or len(monitor.display_name) > 128:
            raise invalid("display_name must have 1 to 128 characters")
        source = monitor.model_monitoring_target.vertex_model
        if not source.model or not source.model_version_id:
            raise invalid("model_monitoring_target.vertex_model needs model and model_version_id")
        if not self._has_model(source.model):
            raise not_found(source.model)
        fields = {
            field.name: field.data_type for field in monitor.model_monitoring_schema.feature_fields
        }
        if set(fields.values()) - _DATA_TYPES:
            raise invalid(f"unsupported data_type in {fields}")
        drift = monitor.tabular_objective.feature_drift_spec
        unknown = set(drift.features) - set(fields)
        if unknown:
            raise invalid(f"features {sorted(unknown)} are not in the monitoring schema")
        if drift.categorical_metric_type not in ("l_infinity", "jensen_shannon_divergence"):
            raise invalid(f"unsupported metric {drift.categorical_metric_type!r}")
        if drift.numeric_metric_type not in ("", "jensen_shannon_divergence"):
            raise invalid(f"unsupported metric {drift.numeric_metric_type!r}")
        for item in monitor.notification_spec.notification_channel_configs:
            if _CHANNEL.fullmatch(item.notification_channel) is None:
                raise invalid(f"notification channel {item.notification_channel!r} is malformed")

    def _monitor(self, name: str) -> types.ModelMonitor:
        monitor = self._monitors.get(self._location.canonical(name))
        if monitor is None:
            raise not_found(name)
        return monitor

    def _get_monitor(self, request: Any) -> types.ModelMonitor:
        self._operations.go_on()
        return self._monitor(request.name)

    def _list_monitors(self, request: Any) -> types.ListModelMonitorsResponse:
        items, token = page(
            list(self._monitors.values()), request.page_size, request.page_token, LARGEST_PAGE
        )
        return types.ListModelMonitorsResponse(model_monitors=items, next_page_token=token)

    def _create_job(self, request: Any) -> types.ModelMonitoringJob:
        monitor = self._monitor(request.parent)
        job_id = request.model_monitoring_job_id or str(next(self._numbers))
        if request.model_monitoring_job_id and _ID.fullmatch(job_id) is None:
            raise invalid(f"model_monitoring_job_id {job_id!r} is not valid")
        name = f"{monitor.name}/modelMonitoringJobs/{job_id}"
        if name in self._jobs:
            raise already_exists(name)
        job = types.ModelMonitoringJob(request.model_monitoring_job)
        target = job.model_monitoring_spec.objective_spec.target_dataset
        if not types.ModelMonitoringInput.pb(target).WhichOneof("dataset"):
            raise invalid("model_monitoring_spec.objective_spec.target_dataset is required")
        now = datetime.now(UTC)
        job.name, job.create_time, job.update_time = name, now, now
        job.state = types.JobState.JOB_STATE_PENDING
        self._jobs[name] = job
        self._looks[name] = self.job_looks
        return job

    def _job(self, name: str) -> types.ModelMonitoringJob:
        job = self._jobs.get(self._location.canonical(name))
        if job is None:
            raise not_found(name)
        return job

    def _get_job(self, request: Any) -> types.ModelMonitoringJob:
        job = self._job(request.name)
        if job.name in self._looks:
            self._looks[job.name] -= 1
            job.state = types.JobState.JOB_STATE_RUNNING
            if self._looks[job.name] <= 0:
                del self._looks[job.name]
                self._finish(job)
        return job

    def _finish(self, job: types.ModelMonitoringJob) -> None:
        job.update_time = datetime.now(UTC)
        try:
            analysis = self._analyse(job)
        except RefusedError as refusal:
            job.state = types.JobState.JOB_STATE_FAILED
            job.job_execution_detail.error = status_pb2.Status(
                code=refusal.code.value[0], message=refusal.message
            )
            return
        self._analyses[job.name] = analysis
        job.state = types.JobState.JOB_STATE_SUCCEEDED
        anomalies = [item for item in analysis.features if item.has_anomaly]
        if anomalies and job.model_monitoring_spec.notification_spec.enable_cloud_logging:
            self._log_anomalies(job, anomalies)

    def _list_jobs(self, request: Any) -> types.ListModelMonitoringJobsResponse:
        prefix = f"{self._monitor(request.parent).name}/"
        found = [job for name, job in self._jobs.items() if name.startswith(prefix)]
        items, token = page(found, request.page_size, request.page_token, LARGEST_PAGE)
        return types.ListModelMonitoringJobsResponse(
            model_monitoring_jobs=items, next_page_token=token
        )

    def _found_by(self, monitor: str, job_name: str) -> Mapping[str, JobAnalysis]:
        prefix = f"{self._monitor(monitor).name}/"
        wanted = self._location.canonical(job_name) if job_name else None
        return {
            name: analysis
            for name, analysis in self._analyses.items()
            if name.startswith(prefix) and wanted in (None, name)
        }

    def _search_stats(self, request: Any) -> types.SearchModelMonitoringStatsResponse:
        wanted = request.stats_filter.tabular_stats_filter
        if wanted.objective_type not in ("", OBJECTIVE):
            return types.SearchModelMonitoringStatsResponse()
        stats = [
            types.ModelMonitoringStats(
                tabular_stats=types.ModelMonitoringTabularStats(
                    stats_name=feature.name,
                    objective_type=OBJECTIVE,
                    data_points=[feature.data_point(name)],
                )
            )
            for name, analysis in self._found_by(
                request.model_monitor, wanted.model_monitoring_job
            ).items()
            for feature in analysis.features
            if wanted.stats_name in ("", feature.name)
        ]
        items, token = page(stats, request.page_size, request.page_token, 1)
        return types.SearchModelMonitoringStatsResponse(
            monitoring_stats=items, next_page_token=token
        )

    def _search_alerts(self, request: Any) -> types.SearchModelMonitoringAlertsResponse:
        alerts = [
            feature.alert(name)
            for name, analysis in self._found_by(
                request.model_monitor, request.model_monitoring_job
            ).items()
            for feature in analysis.features
            if feature.has_anomaly
        ]
        items, token = page(alerts, request.page_size, request.page_token, LARGEST_PAGE)
        return types.SearchModelMonitoringAlertsResponse(
            model_monitoring_alerts=items, total_number_alerts=len(alerts), next_page_token=token
        )


def _copy(source: Any, target: Any, path: str) -> None:
    name, _, rest = path.partition(".")
    if name not in source.DESCRIPTOR.fields_by_name:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"update_mask names {path!r}")
    if rest:
        _copy(getattr(source, name), getattr(target, name), rest)
        return
    target.ClearField(name)
    field = source.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None:
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))
    else:
        setattr(target, name, getattr(source, name))
