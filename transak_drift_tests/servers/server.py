"""The server: every service of Vertex AI on one port of 127.0.0.1, and the log router behind it.

Google publishes no example of what Model Monitoring v2 writes about anomalies, so that the test
chooses. Nothing of it is made by the product: the shapes are those of facts.md and of the recorded
message.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2

from transak_drift_tests.servers.api_rules import PROJECT_NUMBER, Operations
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.google_apis_server import matches
from transak_drift_tests.servers.grpc_server import GrpcServer, Methods
from transak_drift_tests.servers.model_monitoring import ModelMonitoring
from transak_drift_tests.servers.model_registry import BatchPredictions, ModelRegistry
from transak_drift_tests.servers.monitoring_analysis import FeatureAnalysis
from transak_drift_tests.servers.pipelines import Pipelines
from transak_drift_tests.servers.tables import Tables
from transak_drift_tests.trigger.log_entries import DRIFT_ENTRY

_TYPES = "type.googleapis.com/google.cloud.aiplatform.logging"


class Push(StrEnum):
    """A message about a job; the two entries go to the log and through its sink."""

    LOG_ENTRY = "v1-like log entry"
    UNKNOWN_LOG_ENTRY = "log entry of another type"
    CHANNEL = "notification channel"


def log_entry(
    push: Push, job: types.ModelMonitoringJob, anomalies: Sequence[FeatureAnalysis]
) -> dict[str, Any]:
    """Write the log entry about a finished job."""
    _, _, _, _, _, monitor_id, _, job_id = job.name.split("/")
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    entry = copy.deepcopy(DRIFT_ENTRY)
    entry |= {"insertId": f"{job_id}-{len(anomalies)}", "timestamp": now, "receiveTimestamp": now}
    own = {"resource_container": f"projects/{PROJECT_NUMBER}", "model_monitor_id": monitor_id}
    entry["resource"]["labels"] |= own
    if push == Push.UNKNOWN_LOG_ENTRY:
        entry["jsonPayload"] = {
            "@type": f"{_TYPES}.ModelMonitoringJobAnomaliesLogEntry",
            "summary": {"anomalies": len(anomalies), "finished": [now]},
            "origin": [{"resource": job.name}],
        }
        return entry
    features = [
        {"featureDisplayName": a.name, "deviation": a.distance, "threshold": a.threshold}
        for a in anomalies
    ]
    entry["jsonPayload"] |= {
        "modelMonitor": job.name.partition("/modelMonitoringJobs/")[0],
        "modelMonitoringJob": job.name,
        "endTime": now,
        "featureAnomalies": features,
        "totalAnomaliesCount": str(len(anomalies)),
    }
    del entry["jsonPayload"]["startTime"]
    return entry


def channel_message(monitor: types.ModelMonitor, job: types.ModelMonitoringJob) -> dict[str, Any]:
    """Write the message of a Pub/Sub notification channel, as recorded in November 2025."""
    _, number, _, region, _, monitor_id, _, job_id = job.name.split("/")
    model = monitor.model_monitoring_target.vertex_model
    page = f"vertex-ai/locations/{region}/model-monitors/{monitor_id}/model-monitoring-jobs"
    return {
        "subject": "Vertex AI Model Monitoring Job anomalies detected",
        "details": {
            "model_monitoring_job_name": job.name,
            "model_monitoring_job_url": f"https://console.cloud.google.com/{page}/{job_id}"
            f"?project={number}",
            "model_monitoring_job_create_time": f"{job.create_time:%Y-%m-%d %H:%M:%S}",
            "model_name": f"{model.model} @{model.model_version_id}",
        },
    }


class LoopbackVertex(GrpcServer):
    """Vertex AI in one location, with the log router behind it.

    Attributes:
        log: the log entries that were written.
        pushes: what a finished job with anomalies sends; empty for nothing at all.
        sink_filter: filter of the log sink, or None for one that lets everything through.
    """

    def __init__(
        self, directory: Path, publish: Callable[[bytes], object] = lambda _: None
    ) -> None:
        super().__init__()
        self.buckets = Buckets(directory)
        self.tables = Tables()
        self.log: list[dict[str, Any]] = []
        self.operations = Operations()
        self.models = ModelRegistry()
        self.batch_predictions = BatchPredictions()
        self.pipelines = Pipelines()
        self.monitoring = ModelMonitoring(self)
        self.pushes: Sequence[Push] = (Push.LOG_ENTRY,)
        self.sink_filter: str | None = None
        self._publish = publish

    def services(self) -> Mapping[str, Methods]:
        served = (self.models, self.batch_predictions, self.pipelines, self.monitoring)
        operations = {"GetOperation": self.operations.get}
        return {
            **{item.service: item.methods() for item in served},
            "google.longrunning.Operations": (operations_pb2, operations),
        }

    def push(
        self,
        monitor: types.ModelMonitor,
        job: types.ModelMonitoringJob,
        anomalies: list[FeatureAnalysis],
        is_logged: bool,
    ) -> None:
        for push in self.pushes:
            if push == Push.CHANNEL:
                self._publish(json.dumps(channel_message(monitor, job)).encode())
            elif is_logged:
                entry = log_entry(push, job, anomalies)
                self.log.append(entry)
                if self.sink_filter is None or matches(self.sink_filter, entry):
                    self._publish(json.dumps(entry).encode())
