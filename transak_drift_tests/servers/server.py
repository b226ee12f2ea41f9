"""The server: every service of Vertex AI on one port of 127.0.0.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.cloud.aiplatform_v1 import types as types_v1
from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2

from transak_drift_tests.servers.api_rules import Location, Operations
from transak_drift_tests.servers.batch_predictions import BatchPredictions
from transak_drift_tests.servers.buckets import Buckets
from transak_drift_tests.servers.grpc_server import GrpcServer, Methods
from transak_drift_tests.servers.model_monitoring import ModelMonitoring
from transak_drift_tests.servers.model_registry import ModelRegistry
from transak_drift_tests.servers.monitoring_analysis import FeatureAnalysis
from transak_drift_tests.servers.pipelines import Pipelines
from transak_drift_tests.servers.pushes import (
    Push,
    body,
    channel_message,
    lets_through,
    log_entry,
)


class LoopbackVertex(GrpcServer):
    """Vertex AI in one location, with the log router behind it.

    Attributes:
        log: the log entries that were written.
        pushes: what a finished job with anomalies sends; empty for nothing at all.
        sink_filter: filter of the log sink, or None for one that lets everything through.
    """

    def __init__(
        self,
        directory: Path,
        publish: Callable[[bytes], object] | None = None,
        run_pipeline: Callable[[types_v1.PipelineJob], None] | None = None,
    ) -> None:
        super().__init__()
        self.location = Location()
        self.buckets = Buckets(directory)
        self.log: list[dict[str, Any]] = []
        self.operations = Operations()
        self.models = ModelRegistry(self.location)
        self.batch_predictions = BatchPredictions(self.location)
        self.pipelines = Pipelines(self.location, run_pipeline or (lambda _: None))
        self.monitoring = ModelMonitoring(
            self.location,
            self.operations,
            has_model=lambda name: bool(self.models.versions(name)),
            buckets=self.buckets,
            batch_output=self.batch_predictions.output_of,
            push=self._push,
        )
        self.pushes: Sequence[Push] = (Push.LOG_ENTRY,)
        self.sink_filter: str | None = None
        self._publish = publish or (lambda _: None)

    def services(self) -> Mapping[str, Methods]:
        served = (self.models, self.batch_predictions, self.pipelines, self.monitoring)
        get_operation = (operations_pb2.GetOperationRequest, self.operations.get)
        return {
            **{item.service: item.methods() for item in served},
            "google.longrunning.Operations": {"GetOperation": get_operation},
        }

    def _push(
        self,
        monitor: types.ModelMonitor,
        job: types.ModelMonitoringJob,
        anomalies: list[FeatureAnalysis],
        is_logged: bool,
    ) -> None:
        for push in self.pushes:
            if push == Push.CHANNEL:
                self._publish(body(channel_message(self.location, monitor, job)))
            elif is_logged:
                entry = log_entry(push, self.location, job, anomalies)
                self.log.append(entry)
                if self.sink_filter is None or lets_through(self.sink_filter, entry):
                    self._publish(body(entry))
