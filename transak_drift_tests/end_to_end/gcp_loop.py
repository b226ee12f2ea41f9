"""The loop on the gcp platform, for tests: real clients and sensors, loopback servers.

The statistics are real; only Google's machines are missing.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.cloud.aiplatform_v1 import types
from google.cloud.aiplatform_v1beta1 import types as monitoring_types

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.definitions import build_definitions
from transak_drift.defs import monitoring_results_sensor
from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.drift_message_sensor import build_drift_message_sensor
from transak_drift.defs.gcp_resources import GcpPlatformResource, GcpTriggerQueueResource
from transak_drift.defs.keys import DRIFT_EVENT, RETRAIN_JOB, ModelNames
from transak_drift.defs.monitoring_results_sensor import PollBounds, build_monitoring_results_sensor
from transak_drift.defs.training import retrain_job
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift.trigger.inbox import TriggerRecord
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift.vertex.connection import VertexConnection
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.end_to_end.running_loop import DagsterProcesses, count_unacknowledged
from transak_drift_tests.servers.clients import QUICK_LIMITS
from transak_drift_tests.servers.clients import connect as connect_vertex
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.warm_processes import run_code_server

NAMES = ModelNames()

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
TODAY = datetime.now(UTC).date()
QUIET_DAY, DRIFT_DAY, RECOVERED_DAY = (TODAY - timedelta(days=n) for n in (3, 2, 1))
PLACES = {
    "training_dataset": "gs://transak-i1/training/{model_version}.csv",
    "prediction_dataset": "gs://transak-i1/predictions/{date}.csv",
    "pipeline_template": str(TEMPLATE),
    "pipeline_root": "gs://transak-i1/pipelines",
}
IMPATIENT = replace(QUICK_LIMITS, total_seconds=0.1)
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class ImpatientPlatform(GcpPlatformResource):
    """The platform with limits at which a refused call fails at once."""

    def connect(self, config: MonitoringConfig) -> VertexConnection:
        """See `GcpPlatformResource`."""
        assert self.vertex_endpoint is not None
        return connect_vertex(self.vertex_endpoint, IMPATIENT)


def run_attentive_code_server(*arguments: Any) -> None:
    """Run the code server with a sensor that lists monitoring jobs every second, not minute."""
    bounds = partial(PollBounds, listing_interval=timedelta(seconds=1))
    vars(monitoring_results_sensor)["PollBounds"] = bounds
    run_code_server(*arguments)


class GcpLoop:
    """One monitored model on the loopback servers, and a Dagster instance."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        # The shipped file, and of it no other key than those of one's own places.
        self.config = configuration(vertex=PLACES)
        config_file = directory / "monitoring_config.json"
        config_file.write_text(self.config.model_dump_json(exclude_none=True))
        self.pubsub = ensure_embedded_pubsub(directory / "pubsub")
        self.queue = TriggerQueue(connect(self.pubsub.endpoint), self.config)
        # As Terraform does.
        self.queue.ensure_exists()
        self.vertex = LoopbackVertex(
            directory / "buckets", publish=self.queue.publish, run_pipeline=self.train
        ).start()
        self.vertex.sink_filter = sink_filter(self.config.model_monitor_id)
        self.storage = LoopbackStorage(self.vertex.buckets).__enter__()
        environment = {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(config_file),
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": self.vertex.endpoint,
            "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "1",
            "PUBSUB_EMULATOR_HOST": self.pubsub.endpoint,
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "DAGSTER_HOME": str(make_dagster_home(directory / "dagster_home")),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self.dagster = DagsterProcesses(directory, {**os.environ}, run_attentive_code_server)
        self.wait_for = self.dagster.wait_for
        self.instance = dg.DagsterInstance.from_config(environment["DAGSTER_HOME"])
        self.definitions = build_definitions(load_settings(), [self.config])
        self.platform = ImpatientPlatform(vertex_endpoint=self.vertex.endpoint)
        self._resources = {"trigger_queue": GcpTriggerQueueResource(), "platform": self.platform}
        self._messages = build_drift_message_sensor([self.config], [retrain_job(self.config)], 1)
        self._results = build_monitoring_results_sensor(
            self.config, 1, PollBounds(listing_interval=timedelta(0))
        )
        self._cursors: dict[str, str | None] = {}

    def close(self) -> None:
        self.dagster.close()
        self.instance.dispose()
        self.storage.__exit__(None, None, None)
        self.vertex.stop()
        self.queue.close()
        self.pubsub.close()

    def write_day(self, uri: str, *, drifts: bool = False) -> None:
        kinds = ("Card", "Transfer", "Twint")
        rows = [
            {"description": kinds[n % 3], "type": "new" if drifts else kinds[n % 2]}
            for n in range(60)
        ]
        self.vertex.buckets.write_csv(uri, rows)

    def train(self, job: types.PipelineJob) -> None:
        """What pipeline-train does: a version that is a little better than the last one."""
        last_day = dict(job.runtime_config.parameter_values)["last_day"]
        source = self.vertex.buckets.path(f"gs://transak-i1/predictions/{last_day}.csv")
        [model] = {
            monitor.model_monitoring_target.vertex_model.model
            for monitor in self.vertex.monitoring.monitors()
        }
        versions = self.vertex.models.versions(model)
        version = self.vertex.models.upload(
            self.config.model_name,
            parent_model=model,
            pipeline_job=job.name,
            metrics={"macro F1": 0.8 + len(versions) / 100},
        )
        baseline = self.vertex.buckets.path(f"gs://transak-i1/training/{version.version_id}.csv")
        baseline.write_bytes(source.read_bytes())

    def run_job(self, name: str, day: date | None = None) -> None:
        outcome = self.definitions.resolve_job_def(name).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            partition_key=None if day is None else str(day),
            raise_on_error=False,
        )
        assert outcome.success, [
            event.step_failure_data.error
            for event in outcome.all_events
            if event.event_type == dg.DagsterEventType.STEP_FAILURE
        ]

    def newest(self, key: dg.AssetKey, day: date | None = None) -> dict[str, Any] | None:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=key, asset_partitions=None if day is None else [str(day)]
            ),
            limit=1,
        ).records
        materialization = records[0].asset_materialization if records else None
        if materialization is None:
            return None
        return {name: value.value for name, value in materialization.metadata.items()}

    def has_trained(self) -> bool:
        runs = self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
        assert not [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
        return any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)

    def everything_is_acknowledged(self) -> bool:
        return count_unacknowledged(self.directory / "pubsub", self.queue.subscription) == 0

    def prepare(self) -> None:
        """Register the model, and put the days there."""
        self.vertex.models.upload(self.config.model_name, metrics={"macro F1": 0.8})
        self.write_day("gs://transak-i1/training/1.csv")
        for day in (QUIET_DAY, DRIFT_DAY, RECOVERED_DAY):
            self.write_day(f"gs://transak-i1/predictions/{day}.csv", drifts=day != QUIET_DAY)

    def monitor(self, day: date) -> monitoring_types.ModelMonitoringJob:
        """Monitor a day to the end; what it makes Google send is sent."""
        platform = self.platform.open(self.config)
        started = platform.start_monitoring_run(self.config, day)
        platform.monitoring_result(self.config, started.job_name)
        return self.vertex.monitoring.jobs()[-1]

    def tick_messages(self) -> list[str]:
        """Evaluate the drift message sensor, and run what it requests; returns the run keys."""
        requests = self._tick(self._messages)
        for request in requests:
            outcome = self.definitions.resolve_job_def(RETRAIN_JOB).execute_in_process(
                run_config={**request.run_config, **QUIET_RUN},
                instance=self.instance,
                tags=dict(request.tags),
                raise_on_error=False,
            )
            assert outcome.success
        return [str(request.run_key) for request in requests]

    def tick_results(self) -> None:
        assert self._tick(self._results) == []

    def _tick(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor.name),
            resources=self._resources,
            sensor_name=sensor.name,
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self._cursors[sensor.name] = result.cursor
        return list(result.run_requests or [])

    def records(self) -> list[TriggerRecord]:
        """Return the trigger's records, oldest first."""
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record for _, records in found for record in records]
