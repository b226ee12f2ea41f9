"""Run workers of a training that are killed or cancelled, and the PipelineJob that they follow."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import grpc
import pytest
from google.cloud.aiplatform_v1 import types

from transak_drift.cli.dagster_home import make_dagster_home
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import TRAINED_MODEL, ModelNames
from transak_drift.settings import load_settings
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.warm_processes import WarmProcess

NAMES = ModelNames()

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
MODEL_NAME = "transak-i1-train-model"
EVENT = "transak-i1-data-drift-monitor/day-20260501-0123456789ab"
WINDOW_END = "2026-05-02T00:00:00+00:00"
ENDLESS = 1_000_000
LIMIT_SECONDS = 120


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    """A server whose pipeline runs until a test lets it end."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        model = server.models.upload(MODEL_NAME)
        server.pipelines.run = lambda job: server.models.upload(
            MODEL_NAME, parent_model=model.name, pipeline_job=job.name
        )
        server.pipelines.looks = ENDLESS
        yield server


@pytest.fixture
def instance(
    vertex: LoopbackVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk; this process and its children are on the gcp platform."""
    config = monitored_config(
        vertex={"pipeline_template": str(TEMPLATE), "pipeline_root": "gs://transak-i1/pipelines"}
    )
    config_file = tmp_path / "monitoring_config.json"
    config_file.write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    home = make_dagster_home(tmp_path / "dagster_home")
    for name, value in {
        "DAGSTER_HOME": str(home),
        "TRANSAK_DRIFT_PLATFORM": "gcp",
        "TRANSAK_DRIFT_CONFIG": str(config_file),
        "TRANSAK_DRIFT_VERTEX_ENDPOINT": vertex.endpoint,
        "TRANSAK_DRIFT_CANCEL_TRAINING_WITH_RUN": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def retrain_config() -> dict[str, Any]:
    """Return the run configuration that the drift message sensor would give."""
    config = {"drift_event": EVENT, "window_end": WINDOW_END}
    return {
        "ops": {"train": {"config": config}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def retrain_job() -> dg.JobDefinition:
    settings = load_settings()
    return build_definitions(settings, settings.load_configs()).resolve_job_def("retrain")


def work(run_id: str) -> None:
    """Run `retrain` as a run worker does."""
    retrain_job().execute_in_process(
        run_config=retrain_config(), instance=dg.DagsterInstance.get(), run_id=run_id
    )


@pytest.fixture
def worker(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[WarmProcess]:
    """A run worker that has begun to train."""
    process = WarmProcess(
        work, str(uuid.uuid4()), environment=os.environ, log_file=tmp_path / "worker.log"
    )
    yield process
    process.kill()


def wait_until_followed(vertex: LoopbackVertex) -> types.PipelineJob:
    """Wait until a run looks at the PipelineJob that it has created."""
    deadline = time.monotonic() + LIMIT_SECONDS
    methods: list[str] = []
    while "CreatePipelineJob" not in methods or methods[-1] != "GetPipelineJob":
        assert time.monotonic() < deadline, f"no job is followed within {LIMIT_SECONDS} s"
        time.sleep(0.1)
        methods = [call.method for call in vertex.recorder.calls()]
    return vertex.pipelines.jobs()[0]


def test_a_killed_run_that_is_retried_adopts_the_job_that_runs(
    vertex: LoopbackVertex, instance: dg.DagsterInstance, worker: WarmProcess
) -> None:
    job = wait_until_followed(vertex)
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.wait(30) == -signal.SIGKILL
    assert types.PipelineState(job.state).name == "PIPELINE_STATE_RUNNING"

    vertex.pipelines.finish_at_next_look(job.name)
    outcome = retrain_job().execute_in_process(run_config=retrain_config(), instance=instance)
    assert outcome.success
    (materialization,) = outcome.asset_materializations_for_node("train")[:1]
    assert materialization.asset_key == NAMES.asset(TRAINED_MODEL)
    assert materialization.metadata["adopted"].value is True
    assert len(vertex.pipelines.jobs()) == 1
    assert len(vertex.recorder.requests("CreatePipelineJob")) == 1


def test_a_cancelled_run_cancels_its_job(
    vertex: LoopbackVertex, instance: dg.DagsterInstance, worker: WarmProcess
) -> None:
    job = wait_until_followed(vertex)
    (run,) = instance.get_runs()
    # What a run launcher does to terminate a run: the status first, then an interrupt.
    instance.report_run_canceling(run)
    os.kill(worker.pid, signal.SIGINT)
    worker.wait(LIMIT_SECONDS)
    assert types.PipelineState(job.state).name == "PIPELINE_STATE_CANCELLED"
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELED


def test_a_training_whose_monitor_cannot_follow_succeeds_with_a_failed_check(
    vertex: LoopbackVertex, instance: dg.DagsterInstance
) -> None:
    (config,) = load_settings().load_configs()
    connection = connect(vertex.endpoint)
    apply_model_monitor(connection, config)
    connection.close()
    vertex.pipelines.looks = 1
    vertex.faults.refuse("UpdateModelMonitor", grpc.StatusCode.PERMISSION_DENIED, 1, "Not now.")
    outcome = retrain_job().execute_in_process(run_config=retrain_config(), instance=instance)
    assert outcome.success
    (check,) = outcome.get_asset_check_evaluations()
    assert (check.asset_key, check.check_name) == (
        NAMES.asset(TRAINED_MODEL),
        "monitor_follows_model",
    )
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "grant roles/aiplatform.user" in (check.description or "")
