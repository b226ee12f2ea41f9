"""google.cloud.aiplatform.v1beta1.ModelMonitoringService: monitors, jobs, statistics, alerts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import grpc
from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2
from google.protobuf.field_mask_pb2 import FieldMask  # ty: ignore[missing-module-member]

from transak_drift_tests.servers.api_rules import PARENT, JobService, canonical, page
from transak_drift_tests.servers.grpc_server import (
    Methods,
    RefusedError,
    already_exists,
    invalid,
    not_found,
)
from transak_drift_tests.servers.monitoring_analysis import (
    FeatureAnalysis,
    analyse_job,
    check_input,
    effective_spec,
    processed_datasets,
)

if TYPE_CHECKING:
    from transak_drift_tests.servers.server import LoopbackVertex

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
_OBJECTIVE_TYPES = {"raw-feature-drift", "prediction-output-drift", "feature-attribution"}


class ModelMonitoring(JobService[types.ModelMonitoringJob]):
    """The monitors of one location, and their jobs.

    Attributes:
        analyses: what each finished job found; a test may put another distance there.
        second_monitor_error: answer to a second monitor of a version, which nobody documents.
        target_update: answer to a mask that names the target, which nobody documents.
        tells_time_range: whether a finished job tells the time range of its target dataset.
        monitor_tells_output: whether a monitor's own output directory ends as a job's does.
    """

    service = "google.cloud.aiplatform.v1beta1.ModelMonitoringService"
    pending = types.JobState.JOB_STATE_PENDING
    running = types.JobState.JOB_STATE_RUNNING

    def __init__(self, vertex: LoopbackVertex) -> None:
        super().__init__(looks=1)
        self._vertex = vertex
        self._monitors: dict[str, types.ModelMonitor] = {}
        self._creating: dict[str, types.ModelMonitor] = {}
        # Ids of Google's own have some 19 digits.
        self._numbers = itertools.count(4_412_345_678_901_234_501)
        self.analyses: dict[str, list[FeatureAnalysis]] = {}
        self.second_monitor_error = grpc.StatusCode.ALREADY_EXISTS
        self.target_update: Literal["accepted", "refused", "ignored"] = "accepted"
        self.tells_time_range = True
        self.monitor_tells_output = False

    def methods(self) -> Methods:
        return types, {
            "CreateModelMonitor": self._create_monitor,
            "UpdateModelMonitor": self._update_monitor,
            "GetModelMonitor": self._get_monitor,
            "ListModelMonitors": self._list_monitors,
            "CreateModelMonitoringJob": self._create_job,
            "GetModelMonitoringJob": lambda request: self.look(self.find_job(request.name)),
            "ListModelMonitoringJobs": self._list_jobs,
            "SearchModelMonitoringStats": self._search_stats,
            "SearchModelMonitoringAlerts": self._search_alerts,
        }

    def monitors(self) -> list[types.ModelMonitor]:
        return list(self._monitors.values())

    def delete_monitors(self) -> None:
        """Delete every monitor, as another client would have."""
        self._monitors.clear()

    def delete_job(self, name: str) -> None:
        """Delete a job, as another client would have."""
        del self._jobs[name]

    def put_monitor(
        self, model: str, version: str = "1", monitor_id: str | None = None, **fields: Any
    ) -> str:
        """Put a version's monitor there as another client would have; returns its name."""
        name = f"{PARENT}/modelMonitors/{monitor_id or next(self._numbers)}"
        target = {"vertex_model": {"model": model, "model_version_id": version}}
        monitor = types.ModelMonitor(name=name, model_monitoring_target=target, **fields)
        self._monitors[name] = monitor
        return name

    def put_job(
        self,
        monitor_name: str,
        target: types.ModelMonitoringInput | dict[str, Any],
        *,
        job_id: str | None = None,
        schedule_time: datetime | None = None,
        **objective: Any,
    ) -> str:
        """Put a job there as the SDK, the console or a schedule would have; returns its name.

        What its objective leaves out besides the target is the monitor's.
        """
        spec = {"objective_spec": {"target_dataset": target, **objective}}
        job = types.ModelMonitoringJob(model_monitoring_spec=spec)
        if schedule_time is not None:
            job.schedule = f"{PARENT}/schedules/{next(self._numbers)}"
            job.schedule_time = schedule_time
        return self._add_job(self._monitor(monitor_name), job, job_id).name

    def _create_monitor(self, request: Any) -> operations_pb2.Operation:
        canonical(request.parent, "aiplatform.modelMonitors.create")
        monitor_id = request.model_monitor_id or str(next(self._numbers))
        if request.model_monitor_id and _ID.fullmatch(monitor_id) is None:
            raise invalid(f"model_monitor_id {monitor_id!r} is not valid")
        name = f"{PARENT}/modelMonitors/{monitor_id}"
        if name in self._monitors or name in self._creating:
            raise already_exists(name)
        monitor = types.ModelMonitor(request.model_monitor)
        self._check(monitor)
        self._check_only_one(name, monitor)
        self._creating[name] = monitor

        def work() -> types.ModelMonitor:
            now = datetime.now(UTC)
            monitor.name, monitor.create_time, monitor.update_time = name, now, now
            self._creating.pop(name, None)
            self._monitors[name] = self._as_answered(monitor)
            return monitor

        return self._vertex.operations.start(name, work)

    def _check_only_one(self, name: str, monitor: types.ModelMonitor) -> None:
        target = _target_of(monitor)
        others = {**self._monitors, **self._creating}
        if any(_target_of(other) == target for key, other in others.items() if key != name):
            raise RefusedError(
                self.second_monitor_error,
                f"Model version {target[0]}@{target[1]} already has a ModelMonitor.",
            )

    def _update_monitor(self, request: Any) -> operations_pb2.Operation:
        name = canonical(request.model_monitor.name)
        monitor = self._monitors.get(name)
        if monitor is None:
            raise not_found(name)
        paths = list(request.update_mask.paths)
        fields = {path.partition(".")[0] for path in paths}
        refuses_target = self.target_update == "refused" and "model_monitoring_target" in fields
        if not paths or fields - _UPDATABLE or refuses_target:
            raise invalid(f"update_mask {paths} is empty or names fields that cannot be updated")
        updated = types.ModelMonitor(monitor)
        if self.target_update == "ignored":
            paths = [path for path in paths if not path.startswith("model_monitoring_target")]
        try:
            FieldMask(paths=paths).MergeMessage(
                types.ModelMonitor.pb(request.model_monitor),
                types.ModelMonitor.pb(updated),
                replace_message_field=True,
                replace_repeated_field=True,
            )
        except (KeyError, ValueError) as error:
            raise invalid(f"update_mask {paths}: {error}") from None
        self._check(updated)
        self._check_only_one(name, updated)

        def work() -> types.ModelMonitor:
            updated.update_time = datetime.now(UTC)
            self._monitors[name] = self._as_answered(updated)
            return updated

        return self._vertex.operations.start(name, work)

    def _as_answered(self, monitor: types.ModelMonitor) -> types.ModelMonitor:
        # The API answers with the project's number, whatever the request named it by.
        source = monitor.model_monitoring_target.vertex_model
        source.model = f"{PARENT}/models/{source.model.rpartition('/')[2]}"
        if self.monitor_tells_output:
            _append_monitor_id(monitor.output_spec, monitor.name)
        return monitor

    def _check(self, monitor: types.ModelMonitor) -> None:
        if "training_dataset" in monitor:
            check_input(monitor.training_dataset, "training_dataset")
        if not monitor.display_name or len(monitor.display_name) > 128:
            raise invalid("display_name must have 1 to 128 characters")
        source = monitor.model_monitoring_target.vertex_model
        if not source.model or not source.model_version_id:
            raise invalid("model_monitoring_target.vertex_model needs model and model_version_id")
        if not self._vertex.models.versions(source.model):
            raise not_found(source.model)
        schema, objective = monitor.model_monitoring_schema, monitor.tabular_objective
        _check_drift(objective.feature_drift_spec, schema.feature_fields)
        _check_drift(objective.prediction_output_drift_spec, schema.prediction_fields)
        for item in monitor.notification_spec.notification_channel_configs:
            if _CHANNEL.fullmatch(item.notification_channel) is None:
                raise invalid(f"notification channel {item.notification_channel!r} is malformed")

    def _monitor(self, name: str) -> types.ModelMonitor:
        monitor = self._monitors.get(canonical(name))
        if monitor is None:
            raise not_found(name)
        return monitor

    def _get_monitor(self, request: Any) -> types.ModelMonitor:
        self._vertex.operations.go_on()
        return self._monitor(request.name)

    def _list_monitors(self, request: Any) -> types.ListModelMonitorsResponse:
        self._vertex.operations.go_on()
        canonical(request.parent, "aiplatform.modelMonitors.list")
        # Google documents no filter, and one on the model was seen not to work.
        if request.filter:
            raise invalid(f"Invalid filter: {request.filter}")
        return page(types.ListModelMonitorsResponse, request, model_monitors=self.monitors())

    def _create_job(self, request: Any) -> types.ModelMonitoringJob:
        monitor = self._monitor(request.parent)
        job_id = request.model_monitoring_job_id or None
        if job_id is not None and _ID.fullmatch(job_id) is None:
            raise invalid(f"model_monitoring_job_id {job_id!r} is not valid")
        return self._add_job(
            monitor, types.ModelMonitoringJob(request.model_monitoring_job), job_id
        )

    def _add_job(
        self, monitor: types.ModelMonitor, job: types.ModelMonitoringJob, job_id: str | None
    ) -> types.ModelMonitoringJob:
        objective = job.model_monitoring_spec.objective_spec
        check_input(objective.target_dataset, "objective_spec.target_dataset")
        if "baseline_dataset" in objective:
            check_input(objective.baseline_dataset, "objective_spec.baseline_dataset")
        _append_monitor_id(job.model_monitoring_spec.output_spec, monitor.name)
        job_id = job_id or str(next(self._numbers))
        return self.add_job(f"{monitor.name}/modelMonitoringJobs/{job_id}", job)

    def look(self, job: types.ModelMonitoringJob) -> types.ModelMonitoringJob:
        # It waits for the batch prediction that it is given the output of.
        target = job.model_monitoring_spec.objective_spec.target_dataset
        prediction = target.batch_prediction_output.batch_prediction_job
        if self._vertex.batch_predictions.runs(prediction):
            return job
        return super().look(job)

    def end(self, job: types.ModelMonitoringJob) -> None:
        job.update_time = datetime.now(UTC)
        monitor = self._monitor(job.name.rpartition("/modelMonitoringJobs/")[0])
        spec = effective_spec(monitor, job)
        try:
            features = analyse_job(
                spec,
                monitor.model_monitoring_schema,
                self._vertex.buckets,
                self._vertex.tables,
                self._vertex.batch_predictions.output_of,
            )
        except RefusedError as refusal:
            job.state = types.JobState.JOB_STATE_FAILED
            job.job_execution_detail.error = refusal.status
            return
        job.job_execution_detail = processed_datasets(
            spec.objective_spec, tells_time_range=self.tells_time_range
        )
        self.analyses[job.name] = features
        job.state = types.JobState.JOB_STATE_SUCCEEDED
        anomalies = [item for item in features if item.has_anomaly]
        if anomalies:
            is_logged = spec.notification_spec.enable_cloud_logging
            self._vertex.push(monitor, job, anomalies, is_logged)

    def _list_jobs(self, request: Any) -> types.ListModelMonitoringJobsResponse:
        prefix = f"{self._monitor(request.parent).name}/"
        found = [job for name, job in self._jobs.items() if name.startswith(prefix)]
        if not request.page_token:
            # Jobs go on though nobody reads them one by one.
            for job in found:
                self.look(job)
        response = types.ListModelMonitoringJobsResponse
        return page(response, request, model_monitoring_jobs=found)

    def _found_by(self, monitor: str, job_name: str) -> Iterator[tuple[str, FeatureAnalysis]]:
        prefix = f"{self._monitor(monitor).name}/"
        wanted = canonical(job_name) if job_name else None
        for name, features in self.analyses.items():
            if name.startswith(prefix) and wanted in (None, name):
                yield from ((name, feature) for feature in features)

    def _search_stats(self, request: Any) -> types.SearchModelMonitoringStatsResponse:
        wanted = request.stats_filter.tabular_stats_filter
        found = self._found_by(request.model_monitor, wanted.model_monitoring_job)
        stats = [
            types.ModelMonitoringStats(
                tabular_stats=types.ModelMonitoringTabularStats(
                    stats_name=feature.name,
                    objective_type=feature.objective_type,
                    data_points=[feature.data_point(name)],
                )
            )
            for name, feature in found
            if feature.has_statistics
            and wanted.stats_name in ("", feature.name)
            and _is_wanted(feature.objective_type, wanted.objective_type)
        ]
        response = types.SearchModelMonitoringStatsResponse
        return page(response, request, largest=1, monitoring_stats=stats)

    def _search_alerts(self, request: Any) -> types.SearchModelMonitoringAlertsResponse:
        found = self._found_by(request.model_monitor, request.model_monitoring_job)
        alerts = [
            feature.alert(name)
            for name, feature in found
            if feature.has_anomaly
            and request.stats_name in ("", feature.name)
            and _is_wanted(feature.objective_type, request.objective_type)
        ]
        response = types.SearchModelMonitoringAlertsResponse
        return page(response, request, model_monitoring_alerts=alerts)


def _check_drift(drift: Any, schema: Iterable[Any]) -> None:
    """Refuse what the definition of DataDriftSpec does not take, given the fields to compare."""
    fields = {field.name: field.data_type for field in schema}
    if set(fields.values()) - _DATA_TYPES:
        raise invalid(f"unsupported data_type in {fields}")
    unknown = set(drift.features) - set(fields)
    if unknown:
        raise invalid(f"features {sorted(unknown)} are not in the monitoring schema")
    if drift.categorical_metric_type not in ("", "l_infinity", "jensen_shannon_divergence"):
        raise invalid(f"unsupported metric {drift.categorical_metric_type}")
    if drift.numeric_metric_type not in ("", "jensen_shannon_divergence"):
        raise invalid(f"unsupported metric {drift.numeric_metric_type}")


def _is_wanted(objective_type: str, wanted: str) -> bool:
    if wanted and wanted not in _OBJECTIVE_TYPES:
        raise invalid(f"unsupported objective_type {wanted!r}")
    return wanted in ("", objective_type)


def _target_of(monitor: types.ModelMonitor) -> tuple[str, str]:
    source = monitor.model_monitoring_target.vertex_model
    return source.model.rpartition("/")[2], source.model_version_id


def _append_monitor_id(output: types.ModelMonitoringOutputSpec, monitor_name: str) -> None:
    directory = output.gcs_base_directory.output_uri_prefix
    ending = f"model_monitoring/{monitor_name.rpartition('/')[2]}"
    if directory and not directory.endswith(ending):
        output.gcs_base_directory.output_uri_prefix = f"{directory.rstrip('/')}/{ending}"
