"""The server: every service on one port of 127.0.0.1."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud.aiplatform_v1 import types as types_v1
from google.cloud.aiplatform_v1beta1 import types
from google.longrunning import operations_pb2

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
from transak_drift_tests.servers.monitoring_analysis import FeatureAnalysis
from transak_drift_tests.servers.operations import Operations
from transak_drift_tests.servers.pipelines import Pipelines
from transak_drift_tests.servers.pushes import (
    Push,
    body,
    channel_message,
    lets_through,
    log_entry,
)
from transak_drift_tests.servers.rpc import Recorder, service_handler


class LoopbackVertex:
    """Vertex AI in one location, with the log router behind it.

    Attributes:
        endpoint: `127.0.0.1:port`, once started.
        faults: what is ordered for coming calls.
        recorder: the calls that arrived.
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
            buckets=self.buckets,
            batch_output=self.batch_predictions.output_of,
            push=self._push,
        )
        self.pushes: Sequence[Push] = (Push.LOG_ENTRY,)
        self.sink_filter: str | None = None
        self._publish = publish or (lambda _: None)
        self._lock = threading.RLock()
        self._server: grpc.Server | None = None
        self.endpoint = ""

    def start(self, port: int = 0) -> Self:
        """Listen."""
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

    def _push(
        self,
        monitor: types.ModelMonitor,
        job: types.ModelMonitoringJob,
        anomalies: list[FeatureAnalysis],
        *,
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
