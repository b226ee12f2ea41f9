"""The whole loop on the gcp platform: real clients, a real daemon, loopback servers.

Transactions, statistics and trainings are real; only Google's machines are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pytest
from google.cloud.aiplatform_v1 import types
from pyarrow import csv, parquet
from transak_drift.trigger.trigger_state import TriggerState

from transak_drift.cli.dagster_home import make_dagster_home, write_workspace
from transak_drift.cli.dagster_services import dagster_daemon
from transak_drift.definitions import build_definitions
from transak_drift.defs.drift_message_sensor import SENSOR_NAME
from transak_drift.defs.names import (
    DAILY_MONITORING_JOB,
    PREPARE_JOB,
    RETRAIN_JOB,
    ModelNames,
)
from transak_drift.local.embedded_pubsub import ensure_embedded_pubsub
from transak_drift.local.trainer import train_classifier
from transak_drift.local.transaction_generator import (
    DriftInjection,
    GeneratorSettings,
    generate_day,
)
from transak_drift.pubsub.connection import connect
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import load_settings
from transak_drift.trigger.sink_filter import sink_filter
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage

NAMES = ModelNames()

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
TODAY = datetime.now(UTC).date()
QUIET_DAY, DRIFT_DAY, RECOVERED_DAY = (TODAY - timedelta(days=n) for n in (3, 2, 1))
LIMIT_SECONDS = 150
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Found = TypeVar("Found")


class GcpLoop:
    """One monitored model on the loopback servers, and a Dagster instance."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.config = monitored_config(
            user_emails=["mlops@example.com"],
            maximum_training_days=5,
            vertex={
                "pipeline_template": str(TEMPLATE),
                "pipeline_root": "gs://transak-i1/pipelines",
            },
        )
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
        self.environment = {
            "TRANSAK_DRIFT_PLATFORM": "gcp",
            "TRANSAK_DRIFT_CONFIG": str(config_file),
            "TRANSAK_DRIFT_VERTEX_ENDPOINT": self.vertex.endpoint,
            "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "1",
            "PUBSUB_EMULATOR_HOST": self.pubsub.endpoint,
            "STORAGE_EMULATOR_HOST": self.storage.url,
            "DAGSTER_HOME": str(make_dagster_home(directory / "dagster_home")),
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        self.instance = dg.DagsterInstance.from_config(self.environment["DAGSTER_HOME"])
        self.definitions = build_definitions(load_settings(), [self.config])

    def close(self) -> None:
        self.instance.dispose()
        self.storage.__exit__(None, None, None)
        self.vertex.stop()
        self.queue.close()
        self.pubsub.close()

    def write_day(self, day: date, uri: str) -> None:
        settings = GeneratorSettings(
            seed=3, rows_per_day=1_500, injections=(DriftInjection(DRIFT_DAY, share=0.6),)
        )
        path = self.vertex.buckets.path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        csv.write_csv(generate_day(day, settings), path)

    def train(self, job: types.PipelineJob) -> None:
        """What pipeline-train does, on the last day it is given."""
        last_day = dict(job.runtime_config.parameter_values)["last_day"]
        source = self.vertex.buckets.path(f"gs://transak-i1/predictions/{last_day}.csv")
        # The classifier reads Parquet, Model Monitoring CSV.
        rows = self.directory / f"{last_day}.parquet"
        parquet.write_table(csv.read_csv(source), rows)
        trained = train_classifier([rows], self.config.label_column, seed=7)
        (model,) = {
            monitor.model_monitoring_target.vertex_model.model
            for monitor in self.vertex.monitoring.monitors()
        }
        version = self.vertex.models.upload(
            self.config.model_name,
            parent_model=model,
            pipeline_job=job.name,
            description=f"macro F1 {trained.evaluation.macro_f1:.4f}",
            metrics={"macro F1": trained.evaluation.macro_f1},
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

    def wait_for(self, what: str, look: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.2)
        log = (self.directory / "daemon.log").read_text(encoding="utf-8")[-4000:]
        raise AssertionError(f"no {what} in {LIMIT_SECONDS} s; the daemon says: {log}")

    def has_trained(self) -> bool:
        runs = self.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
        assert not [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
        return any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs)

    def everything_is_acknowledged(self) -> bool:
        for state in self.instance.all_instigator_state():
            if state.instigator_name == SENSOR_NAME and state.instigator_data is not None:
                cursor = getattr(state.instigator_data, "cursor", None)
                return cursor is not None and not TriggerState.from_cursor(cursor).waiting_messages
        return False


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcpLoop]:
    made = GcpLoop(tmp_path, monkeypatch)
    yield made
    made.close()


def test_the_loop_closes_on_the_real_clients(loop: GcpLoop) -> None:
    vertex, config = loop.vertex, loop.config
    vertex.models.upload(config.model_name, metrics={"macro F1": 0.8})
    loop.write_day(QUIET_DAY - timedelta(days=1), "gs://transak-i1/training/1.csv")
    for day in (QUIET_DAY, DRIFT_DAY, RECOVERED_DAY):
        loop.write_day(day, f"gs://transak-i1/predictions/{day}.csv")
    # The run that starts a job never waits for it: its report comes from the sensor.
    vertex.monitoring.job_looks = 2

    with dagster_daemon(
        Path(loop.environment["DAGSTER_HOME"]),
        write_workspace(loop.directory),
        loop.directory / "daemon.log",
    ):
        loop.run_job(PREPARE_JOB)
        loop.run_job(DAILY_MONITORING_JOB, QUIET_DAY)
        assert loop.newest(NAMES.drift_report, QUIET_DAY) is None
        quiet = loop.wait_for("report", lambda: loop.newest(NAMES.drift_report, QUIET_DAY))
        assert quiet["verdict"] == "no drift"

        loop.run_job(DAILY_MONITORING_JOB, DRIFT_DAY)
        drift = loop.wait_for("report", lambda: loop.newest(NAMES.drift_report, DRIFT_DAY))
        assert drift["verdict"] == "drift in description, type"
        loop.wait_for("finished training", loop.has_trained)
        trained = loop.newest(NAMES.trained_model)
        assert trained is not None
        loop.wait_for("acknowledgement", loop.everything_is_acknowledged)

        loop.run_job(DAILY_MONITORING_JOB, RECOVERED_DAY)
        recovered = loop.wait_for("report", lambda: loop.newest(NAMES.drift_report, RECOVERED_DAY))
        assert recovered["verdict"] == "no drift"

    assert (trained["champion before"], trained["champion after"]) == ("1", "2")
    assert (trained["promoted"], trained["adopted"]) == (True, False)
    # One job, one log entry, one run, one PipelineJob.
    assert len(vertex.log) == 1
    runs = loop.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
    assert len(vertex.pipelines.jobs()) == 1
    assert loop.newest(NAMES.baseline_dataset) is not None
    assert loop.queue.list_dead_letters(10) == []

    run = loop.newest(NAMES.monitoring_run, DRIFT_DAY)
    assert run is not None
    assert run["monitoring job"] == drift["monitoring job"]
    for check in ("description_drift", "type_drift"):
        history = loop.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(NAMES.drift_report, check), limit=10
        )
        evaluations = [
            record.event.dagster_event.asset_check_evaluation_data.passed
            for record in history
            if record.event is not None
            and record.event.dagster_event is not None
            and record.event.dagster_event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ]
        assert evaluations == [True, False, True]

    # What arrived carries exactly the configuration.
    (created,) = vertex.recorder.requests("CreateModelMonitor")
    jobs = vertex.recorder.requests("CreateModelMonitoringJob")
    assert len(jobs) == 3
    for spec in (
        created.model_monitor.tabular_objective.feature_drift_spec,
        *(
            job.model_monitoring_job.model_monitoring_spec.objective_spec.tabular_objective.feature_drift_spec
            for job in jobs
        ),
    ):
        assert list(spec.features) == ["description", "type"]
        thresholds = {name: item.threshold for name, item in spec.feature_alert_conditions.items()}
        assert thresholds == config.drift_thresholds
    notification = created.model_monitor.notification_spec
    assert notification.enable_cloud_logging
    assert list(notification.email_config.user_emails) == ["mlops@example.com"]
    (update,) = vertex.recorder.requests("UpdateModelMonitor")
    assert list(update.update_mask.paths) == ["model_monitoring_target", "training_dataset"]
    last = jobs[-1].model_monitoring_job.model_monitoring_spec.objective_spec
    baseline = last.baseline_dataset.columnized_dataset.gcs_source.gcs_uri
    assert baseline == "gs://transak-i1/training/2.csv"
    # No call without a deadline.
    assert all(call.deadline_seconds is not None for call in vertex.recorder.calls())
