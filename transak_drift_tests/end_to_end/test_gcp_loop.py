"""The whole loop on the gcp platform: real clients, real sensors, loopback servers.

The statistics are real; only Google's machines are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import grpc
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
    BASELINE_DATASET,
    DAILY_MONITORING_JOB,
    DRIFT_EVENT,
    DRIFT_REPORT,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
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
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.end_to_end.running_loop import DagsterProcesses, count_unacknowledged
from transak_drift_tests.servers.clients import PLACES, QUICK_LIMITS, use_gcp_platform
from transak_drift_tests.servers.clients import connect as connect_vertex
from transak_drift_tests.servers.server import LoopbackVertex, Push
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.warm_processes import run_code_server

NAMES = ModelNames()
REPORT = NAMES.asset(DRIFT_REPORT)
DRIFT_DAY, RECOVERED_DAY = (datetime.now(UTC).date() - timedelta(days=n) for n in (2, 1))
IMPATIENT = replace(QUICK_LIMITS, total_seconds=0.1)
EVERYTHING = (
    *("ListModels", "ListModelMonitors", "GetModelMonitoringJob", "ListModelMonitoringJobs"),
)


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

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self.directory = directory
        # The shipped file, and of it no other key than those of one's own places.
        self.config = configuration(vertex=PLACES)
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

    def run_job(self, name: str, day: date | None = None) -> None:
        outcome = self.definitions.resolve_job_def(name).execute_in_process(
            run_config=QUIET_RUN,
            instance=self.instance,
            partition_key=None if day is None else str(day),
        )
        assert outcome.success

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
        name = platform.start_monitoring_run(self.config, day).job_name
        platform.monitoring_result(self.config, name)
        _, _, _, _, _, monitor_id, _, job_id = name.split("/")
        return f"{monitor_id}/{job_id}"

    def tick_messages(self) -> list[str]:
        return self.messages.tick_and_train(self.definitions)

    def records(self, kind: OutcomeKind) -> list[TriggerRecord]:
        """Return the trigger's records of a kind, oldest first."""
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record for _, records in found for record in records if record.kind == kind]


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcpLoop]:
    with ExitStack() as stack:
        yield GcpLoop(tmp_path, monkeypatch, stack)


def test_the_loop_closes_with_a_daemon_and_every_message_at_once(loop: GcpLoop) -> None:
    vertex = loop.vertex
    vertex.pushes = tuple(Push)
    # No job ends while the run that started it reads it, however often the sensor does meanwhile:
    # the run never waits, and the report comes from the sensor.
    vertex.monitoring.looks = 1_000_000

    def monitor(day: date) -> None:
        loop.write_rows(f"predictions/{day}", drifts=True)
        loop.run_job(DAILY_MONITORING_JOB, day)
        assert loop.newest(REPORT, day) is None
        vertex.monitoring.finish_at_next_look(vertex.monitoring.jobs()[-1].name)

    loop.run_job(PREPARE_JOB)
    monitor(DRIFT_DAY)
    loop.dagster.start_daemon()
    drift = loop.wait_for_report(DRIFT_DAY)
    assert drift["verdict"] == "drift in type"
    loop.dagster.wait_for("finished training", loop.has_trained)
    trained = loop.newest(NAMES.asset(TRAINED_MODEL))
    loop.dagster.wait_for("acknowledgement", loop.everything_is_acknowledged)
    # The training has made the day that drifted the baseline.
    monitor(RECOVERED_DAY)
    assert loop.wait_for_report(RECOVERED_DAY)["verdict"] == "no drift"

    assert trained is not None
    assert (trained["champion before"], trained["champion after"]) == ("1", "2")
    assert (trained["promoted"], trained["adopted"]) == (True, False)
    # Two log entries and a message of the channel, one run, one PipelineJob.
    assert len(vertex.log) == 2
    runs = loop.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
    assert len(vertex.pipelines.jobs()) == 1
    assert loop.newest(NAMES.asset(BASELINE_DATASET)) is not None
    assert loop.queue.list_dead_letters(10) == []
    run = loop.newest(NAMES.asset(MONITORING_RUN), DRIFT_DAY)
    assert run is not None
    assert run["monitoring job"] == drift["monitoring job"]
    history = loop.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(REPORT, "type_drift"), limit=10
    )
    states = [record.status.value for record in history]
    assert [state for state in states if state != "PLANNED"] == ["SUCCEEDED", "FAILED"]
    # No call without a deadline.
    assert all(call.deadline_seconds is not None for call in vertex.calls)


def test_any_message_or_none_closes_the_loop_and_an_outage_loses_nothing(loop: GcpLoop) -> None:
    everyone = tuple(Push)
    for number, (pushes, refused) in enumerate(
        [
            *(((push,), ()) for push in Push),
            ((), ()),
            (everyone, EVERYTHING),
            (everyone, ("SearchModelMonitoringStats",)),
        ],
        start=1,
    ):
        loop.vertex.pushes = pushes
        # Each training makes its day the baseline: the next day drifts by being as before.
        day = DRIFT_DAY - timedelta(days=20 - number)
        loop.write_rows(f"predictions/{day}", drifts=number % 2 == 1)
        key = loop.monitor(day)
        for method in refused:
            loop.vertex.faults.refuse(method, grpc.StatusCode.UNAVAILABLE, 1_000)
        waited = waiting_messages(loop)
        for _ in range(2 if refused else not pushes):
            assert loop.tick_messages() == []
            loop.results.tick()
        if refused:
            assert waiting_messages(loop) - waited == len(pushes)
            assert loop.everything_is_acknowledged()
        for method in refused:
            loop.vertex.faults.clear(method)
        assert loop.tick_messages() == [key]

        # Nothing comes of whatever is still on its way.
        loop.results.tick()
        assert loop.tick_messages() == []
        assert len(loop.vertex.pipelines.jobs()) == number
        assert loop.has_trained()
        assert loop.everything_is_acknowledged()
        started = [record.key for record in loop.records(OutcomeKind.TRAINING_STARTED)]
        assert started.count(key) == 1
    assert loop.queue.list_dead_letters(10) == []


def waiting_messages(loop: GcpLoop) -> int:
    return sum(record.messages for record in loop.records(OutcomeKind.WAITING))
