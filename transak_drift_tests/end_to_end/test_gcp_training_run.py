"""Run workers of a training that are killed or cancelled, and the PipelineJob that they follow."""

from __future__ import annotations

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

from transak_drift.cli.dagster_home import QUIET_RUN, make_dagster_home
from transak_drift.definitions import build_definitions
from transak_drift.defs.keys import TRAINED_MODEL, ModelNames
from transak_drift.settings import load_settings
from transak_drift_tests.servers.clients import apply_monitors, monitored_config, use_gcp_platform
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.warm_processes import WarmProcess

NAMES = ModelNames()

CONFIG = monitored_config()
# What the drift message sensor would ask for.
TRAINING = {
    "drift_event": "transak-i1-data-drift-monitor/day-20260501-0123456789ab",
    "window_end": "2026-05-02T00:00:00+00:00",
}
RUN_CONFIG: dict[str, Any] = {**QUIET_RUN, "ops": {"train": {"config": TRAINING}}}
ENDLESS = 1_000_000
LIMIT_SECONDS = 120


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    """A server whose pipeline runs until a test lets it end."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        model = server.models.upload(CONFIG.model_name)
        server.pipelines.run = lambda job: server.models.upload(
            CONFIG.model_name, parent_model=model.name, pipeline_job=job.name
        )
        server.pipelines.looks = ENDLESS
        yield server


@pytest.fixture
def instance(
    vertex: LoopbackVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk; this process and its children are on the gcp platform."""
    home = make_dagster_home(tmp_path / "dagster_home")
    variables = {"DAGSTER_HOME": str(home), "TRANSAK_DRIFT_CANCEL_TRAINING_WITH_RUN": "true"}
    config_file = tmp_path / "monitoring_config.json"
    use_gcp_platform(monkeypatch, config_file, CONFIG, vertex.endpoint, **variables)
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def retrain(instance: dg.DagsterInstance, run_id: str | None = None) -> dg.ExecuteInProcessResult:
    settings = load_settings()
    job = build_definitions(settings, settings.load_configs()).resolve_job_def("retrain")
    return job.execute_in_process(run_config=RUN_CONFIG, instance=instance, run_id=run_id)


def work(run_id: str) -> None:
    """Run `retrain` as a run worker does."""
    retrain(dg.DagsterInstance.get(), run_id)


@pytest.fixture
def worker(
    vertex: LoopbackVertex, instance: dg.DagsterInstance, tmp_path: Path
) -> Iterator[WarmProcess]:
    """A run worker that looks at the PipelineJob that it has created."""
    process = WarmProcess(
        work, str(uuid.uuid4()), environment=os.environ, log_file=tmp_path / "worker.log"
    )
    try:
        deadline = time.monotonic() + LIMIT_SECONDS
        methods: list[str] = []
        while "CreatePipelineJob" not in methods or methods[-1] != "GetPipelineJob":
            assert time.monotonic() < deadline, f"no job is followed within {LIMIT_SECONDS} s"
            time.sleep(0.1)
            methods = [call.method for call in vertex.calls]
        yield process
    finally:
        process.kill()


def test_a_killed_run_that_is_retried_adopts_the_job_that_runs(
    vertex: LoopbackVertex, instance: dg.DagsterInstance, worker: WarmProcess
) -> None:
    (job,) = vertex.pipelines.jobs()
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.wait(30) == -signal.SIGKILL
    assert types.PipelineState(job.state).name == "PIPELINE_STATE_RUNNING"

    vertex.pipelines.finish_at_next_look(job.name)
    outcome = retrain(instance)
    assert outcome.success
    (materialization,) = outcome.asset_materializations_for_node("train")[:1]
    assert materialization.asset_key == NAMES.asset(TRAINED_MODEL)
    assert materialization.metadata["adopted"].value is True
    assert len(vertex.pipelines.jobs()) == 1
    assert len(vertex.requests("CreatePipelineJob")) == 1


def test_a_cancelled_run_cancels_its_job(
    vertex: LoopbackVertex, instance: dg.DagsterInstance, worker: WarmProcess
) -> None:
    (job,) = vertex.pipelines.jobs()
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
    apply_monitors(vertex.endpoint, CONFIG)
    vertex.pipelines.looks = 1
    vertex.faults.refuse("UpdateModelMonitor", grpc.StatusCode.PERMISSION_DENIED, 1, "Not now.")
    outcome = retrain(instance)
    assert outcome.success
    (check,) = outcome.get_asset_check_evaluations()
    assert (check.asset_key, check.check_name) == (
        NAMES.asset(TRAINED_MODEL),
        "monitor_follows_model",
    )
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "grant roles/aiplatform.user" in (check.description or "")
