"""The server: every service on one port of 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud.aiplatform_v1 import types as types_v1
from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2

from transak_drift.config.resource_names import parse_monitoring_job_name
from transak_drift.drift.drift_event import DRIFT_OBJECTIVE, DriftEvent, FeatureAnomaly
from transak_drift.trigger.log_entry import anomaly_log_entry
from transak_drift.trigger.sink_filter import lets_through, sink_filter
from transak_drift_tests.servers.batch_predictions import BatchPredictions
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.faults import Faults
from transak_drift_tests.servers.location import (
    LOCATION,
    PROJECT_ID,
    PROJECT_NUMBER,
    Location,
)
from transak_drift_tests.servers.model_monitoring import ModelMonitoring
from transak_drift_tests.servers.model_registry import ModelRegistry
from transak_drift_tests.servers.monitoring_analysis import (
    FeatureAnalysis,
    JobAnalysis,
    analyse_job,
)
from transak_drift_tests.servers.operations import Operations
from transak_drift_tests.servers.pipelines import Pipelines
from transak_drift_tests.servers.rpc import Recorder, service_handler


class LoopbackVertex:
    """Vertex AI in one location, with the log router behind it.

    Args:
        directory: gets the buckets' files.
        publish: called with the body of each log entry that the sink lets through, or None.
        run_pipeline: does a PipelineJob's work when it ends; by default nothing.

    Attributes:
        endpoint: `127.0.0.1:port`, once started.
        faults: what is ordered for coming calls.
        recorder: the calls that arrived.
        log: the log entries that were written.
    """

    def __init__(
        self,
        directory: Path,
        publish: Callable[[bytes], object] | None = None,
        run_pipeline: Callable[[types_v1.PipelineJob], None] | None = None,
    ) -> None:
        self.location = Location(PROJECT_ID, PROJECT_NUMBER, LOCATION)
        self.buckets = Buckets(directory)
        self.faults = Faults()
        self.recorder = Recorder()
        self.log: list[dict[str, Any]] = []
        self.operations = Operations()
        self.models = ModelRegistry(self.location)
        self.batch_predictions = BatchPredictions(self.location)
        self.pipelines = Pipelines(self.location, self.operations, run_pipeline or (lambda _: None))
        self.monitoring = ModelMonitoring(
            self.location,
            self.operations,
            has_model=lambda name: bool(self.models.versions(name)),
            analyse=self._analyse,
            log_anomalies=self._log_anomalies,
        )
        self._publish = publish
        self._lock = threading.RLock()
        self._server: grpc.Server | None = None
        self.endpoint = ""

    def start(self, port: int = 0) -> Self:
        """Listen.

        Args:
            port: 0 for a free one; a port that was used before, to come back on it.
        """
        server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        services: list[Any] = [self.models, self.batch_predictions, self.pipelines, self.monitoring]
        server.add_generic_rpc_handlers(
            [
                *(
                    service_handler(
                        item.service, item.methods(), self.faults, self.recorder, self._lock
                    )
                    for item in services
                ),
                service_handler(
                    "google.longrunning.Operations",
                    {
                        "GetOperation": (
                            operations_pb2.GetOperationRequest,
                            self.operations.get,
                        )
                    },
                    self.faults,
                    self.recorder,
                    self._lock,
                ),
            ]
        )
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        self._server = server
        self.endpoint = f"127.0.0.1:{bound}"
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _analyse(self, job: types.ModelMonitoringJob) -> JobAnalysis:
        monitor_name = job.name.rpartition("/modelMonitoringJobs/")[0]
        monitor = next(item for item in self.monitoring.monitors() if item.name == monitor_name)
        kinds = {
            field.name: field.data_type for field in monitor.model_monitoring_schema.feature_fields
        }
        return analyse_job(job, kinds, self.buckets, self.batch_predictions.output_of)

    def _log_anomalies(
        self, job: types.ModelMonitoringJob, anomalies: list[FeatureAnalysis]
    ) -> None:
        project, location, monitor_id, job_id = parse_monitoring_job_name(job.name)
        # Vertex AI writes one entry for each feature; the trigger has to join them.
        for anomaly in anomalies:
            event = DriftEvent(
                project=project,
                location=location,
                model_monitor_id=monitor_id,
                monitoring_job_id=job_id,
                objective=DRIFT_OBJECTIVE,
                anomalies=(FeatureAnomaly(anomaly.name, anomaly.distance, anomaly.threshold),),
                window_start=None,
                window_end=_window_end(job),
                log_entry_id=f"{job_id}-{anomaly.name}",
            )
            entry = anomaly_log_entry(
                event, project_id=self.location.project_id, receive_time=datetime.now(UTC)
            )
            self.log.append(entry)
            self._route(entry, monitor_id)

    def _route(self, entry: dict[str, Any], monitor_id: str) -> None:
        if self._publish is not None and lets_through(sink_filter(monitor_id), entry):
            self._publish(json.dumps(entry).encode())


def _window_end(job: types.ModelMonitoringJob) -> datetime:
    interval = job.model_monitoring_spec.objective_spec.target_dataset.time_interval
    end = getattr(interval, "end_time", None)
    if end is not None and end.ToSeconds():
        return end.ToDatetime(UTC)
    return datetime.now(UTC)
