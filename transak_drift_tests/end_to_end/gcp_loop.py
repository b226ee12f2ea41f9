"""One monitored model on the gcp platform: loopback servers, real clients, real sensors.

The statistics are real; only Google's machines are missing.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud.aiplatform_v1.types import PipelineJob

from transak_drift.cli.dagster_home import QUIET_RUN, make_dagster_home
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.defs import monitoring_results_sensor
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.gcp_resources import GcpPlatformResource
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_REPORT,
    RETRAIN_JOB,
    ModelNames,
)
from transak_drift.defs.monitoring_results_sensor import PollBounds, build_monitoring_results_sensor
from transak_drift.defs.platform_resource import TriggerQueueResource
from transak_drift.defs.training import retrain_job
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift.vertex.connection import VertexConnection
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.end_to_end.running_loop import DagsterProcesses, count_unacknowledged
from transak_drift_tests.servers.clients import QUICK_LIMITS, use_gcp_platform
from transak_drift_tests.servers.clients import connect as connect_vertex
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.warm_processes import run_code_server

NAMES = ModelNames()
REPORT = NAMES.asset(DRIFT_REPORT)
IMPATIENT = replace(QUICK_LIMITS, total_seconds=0.1)


class ImpatientPlatform(GcpPlatformResource):
    """The platform with limits at which a refused call fails at once."""

    def connect(self, config: MonitoringConfig) -> VertexConnection:
        assert self.vertex_endpoint is not None
        return connect_vertex(self.vertex_endpoint, IMPATIENT)


def run_attentive_code_server(*arguments: Any) -> None:
    """Run the code server with a sensor that lists monitoring jobs every second, not minute."""
    bounds = partial(PollBounds, listing_interval=timedelta(seconds=1))
    vars(monitoring_results_sensor)["PollBounds"] = bounds
    run_code_server(*arguments)


class GcpLoop:
    """One monitored model on the loopback servers, and a Dagster instance."""

    def __init__(
        self,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        stack: ExitStack,
        config: MonitoringConfig,
    ) -> None:
        self.directory = directory
        self.config = config
        pubsub = stack.enter_context(ensure_embedded_pubsub(directory / "pubsub"))
        self.queue = TriggerQueue(connect(pubsub.endpoint), self.config)
        stack.callback(self.queue.close)
        # As Terraform does.
        self.queue.ensure_exists()
        self.vertex = stack.enter_context(
            LoopbackVertex(directory / "buckets", publish=self.queue.publish)
        )
        self.vertex.pipelines.run = self.train
        self.vertex.sink_filter = sink_filter(self.config.model_monitor_id)
        self.vertex.models.upload(self.config.model_name, metrics={"macro F1": 0.8})
        self.write_rows("training/1", drifts=False)
        storage = stack.enter_context(LoopbackStorage(self.vertex.buckets))
        home = str(make_dagster_home(directory / "dagster_home"))
        use_gcp_platform(
            *(monkeypatch, directory / "monitoring_config.json", self.config, self.vertex.endpoint),
            TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS="1",
            PUBSUB_EMULATOR_HOST=pubsub.endpoint,
            STORAGE_EMULATOR_HOST=storage.url,
            DAGSTER_HOME=home,
        )
        self.instance = stack.enter_context(dg.DagsterInstance.from_config(home))
        self.dagster = DagsterProcesses(directory, {**os.environ}, run_attentive_code_server)
        stack.callback(self.dagster.close)
        self.definitions = build_definitions(load_settings(), [self.config])
        self.platform = ImpatientPlatform(vertex_endpoint=self.vertex.endpoint)
        resources = {"trigger_queue": TriggerQueueResource(), "platform": self.platform}
        messages = build_drift_message_sensor([self.config], [retrain_job(self.config)], 1)
        bounds = PollBounds(listing_interval=timedelta(0))
        results = build_monitoring_results_sensor(self.config, 1, bounds)
        self.messages = SensorTicks(self.instance, messages, resources)
        self.results = SensorTicks(self.instance, results, resources)

    def write_rows(self, name: str, *, drifts: bool) -> None:
        kinds = ("Card", "Twint")
        rows = [
            {"description": kinds[n % 2], "type": "new" if drifts else kinds[n % 2]}
            for n in range(60)
        ]
        self.vertex.buckets.write_csv(f"gs://transak-i1/{name}.csv", rows)

    def train(self, job: PipelineJob) -> None:
        """What pipeline-train does: a version that has learned from the day that drifted."""
        last_day = dict(job.runtime_config.parameter_values)["last_day"]
        source = self.vertex.buckets.path(f"gs://transak-i1/predictions/{last_day}.csv")
        (monitor,) = self.vertex.monitoring.monitors()
        version = self.vertex.models.upload(
            self.config.model_name,
            parent_model=monitor.model_monitoring_target.vertex_model.model,
            pipeline_job=job.name,
            metrics={"macro F1": 0.9},
        )
        baseline = self.vertex.buckets.path(f"gs://transak-i1/training/{version.version_id}.csv")
        baseline.write_bytes(source.read_bytes())

    def run_job(self, name: str, partition: object = None) -> None:
        outcome = self.definitions.resolve_job_def(name).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            partition_key=None if partition is None else str(partition),
        )
        assert outcome.success

    def newest(self, key: dg.AssetKey, partition: object = None) -> dict[str, Any] | None:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=key, asset_partitions=None if partition is None else [str(partition)]
            ),
            limit=1,
        ).records
        materialization = records[0].asset_materialization if records else None
        if materialization is None:
            return None
        return {name: value.value for name, value in materialization.metadata.items()}

    def wait_for_report(self, day: date) -> dict[str, Any]:
        return self.dagster.wait_for("report", lambda: self.newest(REPORT, day))

    def has_trained(self) -> bool:
        runs = self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
        assert not [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
        return any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)

    def everything_is_acknowledged(self) -> bool:
        return count_unacknowledged(self.directory / "pubsub", self.queue.subscription) == 0

    def monitor(self, day: date) -> str:
        """Monitor a day to the end, which sends the messages; returns the drift event's key."""
        platform = self.platform.open(self.config)
        platform.apply_model_monitor(self.config)
        name = platform.start_monitoring_run(self.config, self.config.windows.of_day(day)).job_name
        platform.monitoring_result(self.config, name)
        _, _, _, _, _, monitor_id, _, job_id = name.split("/")
        return f"{monitor_id}/{job_id}"

    def tick_messages(self) -> list[str]:
        return self.messages.tick_and_train(self.definitions)

    def records(self, kind: OutcomeKind) -> list[TriggerRecord]:
        """Return the trigger's records of a kind, oldest first."""
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record for _, records in found for record in records if record.kind == kind]
