"""A drift event trains once: launch, adoption, following, cancelling, outcome."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.aiplatform_v1 import types
from google.cloud.aiplatform_v1.types import PipelineJob
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, TrainingRequest, TrainingResult
from transak_drift.training.promotion import (
    Comparison,
    EvaluatedModel,
    Evaluation,
    SetComparison,
)
from transak_drift.vertex.training_launch import (
    LaunchedTraining,
    launch_training,
    pipeline_job_id,
    training_days,
)
from transak_drift_tests.servers.clients import TEMPLATE, monitored_config
from transak_drift_tests.servers.grpc_server import Fault, RefusedError
from transak_drift_tests.servers.storage_server import LoopbackStorage
from transak_drift_tests.vertex.conftest import (
    CONFIG,
    EVENT,
    MODEL,
    MODEL_NAME,
    ORDER,
    WINDOW_END,
    Cloud,
)

TEMPLATE_TEXT = TEMPLATE.read_text()
SCORES = Evaluation(rows=100, accuracy=0.93, macro_f1=0.91, log_loss=0.2)
RECENT = SetComparison(name="recent", challenger=EvaluatedModel(scores=SCORES))
COMPARISON = Comparison(sets=(RECENT,), promoted=True, reasons=("first model",))


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """A server whose pipeline uploads and promotes a version, as pipeline-train does."""

    def run(job: PipelineJob) -> None:
        cloud.models.upload(
            MODEL_NAME,
            parent_model=MODEL,
            pipeline_job=job.name,
            description="macro F1 0.91 is not worse than the champion's 0.80",
            metrics={"accuracy": 0.93},
        )
        metrics = {
            "macro F1": 0.91,
            "macro F1 of the champion": 0.8,
            "training rows": 4_000.0,
            "training days": 3.0,
            "comparison": COMPARISON.model_dump_json(),
        }
        artifact = types.Artifact(schema_title="system.Metrics", metadata=metrics)
        task = types.PipelineTaskDetail(
            task_name="train",
            state=types.PipelineTaskDetail.State.SUCCEEDED,
            outputs={"metrics": {"artifacts": [artifact]}},
        )
        job.job_detail = types.PipelineJobDetail(task_details=[task])

    cloud.pipelines.run = run
    return cloud


def launch(cloud: Cloud, config: MonitoringConfig = CONFIG, run_id: str = "run-1") -> PipelineJob:
    """Launch a training of the event, and return the PipelineJob."""
    launch_training(cloud.platform.connection, config, TrainingRequest(EVENT, WINDOW_END, run_id))
    return cloud.pipelines.jobs()[-1]


def train(cloud: Cloud, run_id: str = "run-1") -> tuple[TrainingResult, list[str]]:
    """Train for the event; return the result and what the run was told meanwhile."""
    told: list[str] = []
    request = TrainingRequest(EVENT, WINDOW_END, run_id)
    return cloud.platform.train(CONFIG, request, told.append), told


def test_the_job_carries_template_parameters_root_account_labels_and_no_caching(
    cloud: Cloud,
) -> None:
    config = monitored_config(
        maximum_training_days=7,
        vertex={
            "pipeline_parameters": {"epochs": 3, "note": "{first_day} to {last_day}"},
            "pipeline_service_account": "train@af-finanzen.iam.gserviceaccount.com",
            "pipeline_network": "projects/123456789012/global/networks/transak",
            "pipeline_labels": {"team": "mlops"},
        },
    )
    job = launch(cloud, config)
    assert job.name.rpartition("/")[2].startswith("pipeline-train-drift-")
    assert dict(job.runtime_config.parameter_values) == {
        "model_name": "transak-i1-train-model",
        "drift_event": EVENT,
        "first_day": "2026-04-25",
        "last_day": "2026-05-01",
        "epochs": 3.0,
        "note": "2026-04-25 to 2026-05-01",
    }
    assert job.runtime_config.gcs_output_directory == "gs://transak-i1/pipelines"
    assert job.service_account == "train@af-finanzen.iam.gserviceaccount.com"
    assert job.network == "projects/123456789012/global/networks/transak"
    assert dict(job.labels) == {
        "team": "mlops",
        "transak-drift-monitor": "transak-i1-data-drift-monitor",
        "transak-drift-champion": "1",
        "transak-drift-first-day": "2026-04-25",
        "transak-drift-last-day": "2026-05-01",
        "transak-drift-run": "run-1",
    }
    spec = PipelineJob.to_dict(job)["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "pipeline-train"
    assert spec["root"]["dag"]["tasks"]["train"]["cachingOptions"] == {"enableCache": False}


def test_callers_at_once_launch_one_job(cloud: Cloud) -> None:
    # Neither creates the job before both have seen that there is none.
    both_have_looked = threading.Barrier(2)
    looked = Fault(cut=lambda: both_have_looked.wait(timeout=60))
    cloud.faults.order("GetPipelineJob", looked, looked)

    def launch_as(run_id: str) -> LaunchedTraining:
        request = TrainingRequest(EVENT, WINDOW_END, run_id)
        return launch_training(cloud.connect().connection, CONFIG, request)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(launch_as, ("run-1", "run-2"))
    assert sorted([first.adopted, second.adopted]) == [False, True]
    assert first.job_name == second.job_name
    assert len(cloud.pipelines.jobs()) == 1
    assert len(cloud.requests("CreatePipelineJob")) == 2


def test_the_outcome_is_the_version_that_the_job_uploaded(cloud: Cloud) -> None:
    result, told = train(cloud)
    assert (result.version, result.champion_before, result.champion_after) == ("2", "1", "2")
    assert (result.promoted, result.adopted) == (True, False)
    assert result.reason == "macro F1 0.91 is not worse than the champion's 0.80"
    assert result.metrics == {"accuracy": 0.93, "macro F1": 0.91}
    assert result.champion_metrics == {"macro F1": 0.8}
    assert result.comparison == COMPARISON
    assert result.training_rows == 4_000
    assert result.training_days == (date(2026, 4, 29), date(2026, 5, 1))
    assert result.trained_until == WINDOW_END
    assert result.console_url is not None
    assert result.console_url.startswith("https://console.cloud.google.com/vertex-ai/locations/")
    states = [line.rpartition(": ")[2] for line in told if "pipelineJobs" in line]
    assert states[1:] == ["running", "succeeded"]


def test_a_promotion_makes_its_training_data_the_baseline(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    _, told = train(cloud)
    (monitor,) = cloud.monitoring.monitors()
    source = monitor.training_dataset.columnized_dataset.gcs_source
    assert source.gcs_uri == "gs://transak-i1/training/2.csv"
    assert any("training/1.csv -> gs://transak-i1/training/2.csv" in line for line in told)


def test_a_monitor_that_cannot_follow_leaves_the_training_as_finished(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    cloud.faults.refuse("UpdateModelMonitor", grpc.StatusCode.INTERNAL, 1, "Not now.")
    result, told = train(cloud)
    assert (result.version, result.promoted) == ("2", True)
    (warning,) = result.warnings
    assert "version 2 predicts, but its data are not monitored yet" in warning
    assert "Not now." in warning
    assert warning in told
    assert train(cloud, "run-2")[0].warnings == ()
    (monitor,) = cloud.monitoring.monitors()
    assert monitor.model_monitoring_target.vertex_model.model_version_id == "2"


def test_a_challenger_that_is_worse_changes_nothing(cloud: Cloud) -> None:
    cloud.pipelines.run = lambda job: cloud.models.upload(
        MODEL_NAME, parent_model=MODEL, pipeline_job=job.name, is_default=False
    )
    cloud.platform.apply_model_monitor(CONFIG)
    result, _ = train(cloud)
    assert (result.version, result.champion_after, result.promoted) == ("2", "1", False)
    assert "does not predict" in result.reason
    assert cloud.requests("UpdateModelMonitor") == []


def test_a_run_that_died_is_followed_by_one_that_adopts_its_job(cloud: Cloud) -> None:
    launch(cloud, run_id="run-that-died")
    for run_id in ("its-retry", "once-more"):
        result, _ = train(cloud, run_id)
        assert (result.adopted, result.version) == (True, "2")
    assert len(cloud.requests("CreatePipelineJob")) == 1


def test_a_failed_training_ends_the_run_and_the_next_run_trains_again(cloud: Cloud) -> None:
    run = cloud.pipelines.run

    def fail(_: PipelineJob) -> None:
        raise RefusedError(grpc.StatusCode.INTERNAL, "The replica ran out of memory.")

    cloud.pipelines.run = fail
    with pytest.raises(PlatformError, match=r"PIPELINE_STATE_FAILED: The replica ran out of mem"):
        train(cloud)
    cloud.pipelines.run = run
    assert train(cloud, "run-2")[0].version == "2"
    first, second = cloud.pipelines.jobs()
    assert second.name == f"{first.name}-attempt-2"


@pytest.mark.parametrize(("is_cancelled", "state"), [(True, "CANCELLED"), (False, "PENDING")])
def test_an_interrupt_cancels_the_job_only_where_the_run_is_cancelled(
    cloud: Cloud, is_cancelled: bool, state: str
) -> None:
    asked: list[str] = []

    def ask(run_id: str) -> bool:
        asked.append(run_id)
        return is_cancelled

    def interrupt(sentence: str) -> None:
        # Dagster raises a BaseException into the step of a run that is terminated.
        if sentence.endswith((": pending", ": running")):
            raise KeyboardInterrupt

    cloud.pipelines.looks = 1_000
    platform = replace(cloud.platform, is_cancelled=ask)
    with pytest.raises(KeyboardInterrupt):
        platform.train(CONFIG, ORDER, interrupt)
    assert asked == ["run-1"]
    (job,) = cloud.pipelines.jobs()
    expected = state if is_cancelled else "RUNNING"
    assert types.PipelineState(job.state).name == f"PIPELINE_STATE_{expected}"


def test_an_outage_while_a_job_is_followed_is_survived(cloud: Cloud) -> None:
    impatient = cloud.connect(total_seconds=0.05)
    launch_training(impatient.connection, CONFIG, ORDER)
    cloud.faults.order("GetPipelineJob", Fault())
    cloud.faults.refuse("GetPipelineJob", grpc.StatusCode.UNAVAILABLE, times=40)
    told: list[str] = []
    result = impatient.train(CONFIG, ORDER, told.append)
    assert result.version == "2"
    assert any("still following" in line for line in told)
    assert cloud.faults.left("GetPipelineJob") == 0


@pytest.mark.parametrize(
    ("vertex_changes", "text", "message"),
    [
        ({"pipeline_template": None}, "", r"vertex\.pipeline_template is not set"),
        ({"pipeline_template": "missing.yaml"}, "", r"'missing\.yaml' cannot be read"),
        ({"pipeline_root": None}, TEMPLATE_TEXT, r"vertex\.pipeline_root is not set"),
        (
            {"pipeline_parameters": {"epoch": 1}},
            TEMPLATE_TEXT,
            r"pipeline_parameters\.epoch is no parameter",
        ),
        ({}, "just text", "is no compiled pipeline"),
        ({}, "root: {}\n", "is no compiled pipeline"),
        ({}, "a: [", "cannot be read"),
        (
            {},
            TEMPLATE_TEXT.replace("      model_name:\n", "      region:\n"),
            r"needs the parameter region: add vertex\.pipeline_parameters\.region",
        ),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_created(
    cloud: Cloud, tmp_path: Path, vertex_changes: dict[str, Any], text: str, message: str
) -> None:
    template = tmp_path / "train.yaml"
    template.write_text(text)
    config = monitored_config(vertex={"pipeline_template": str(template), **vertex_changes})
    with pytest.raises(PlatformError, match=message):
        launch(cloud, config)
    assert cloud.requests("CreatePipelineJob") == []


def test_the_template_may_be_in_cloud_storage(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "gs://transak-i1/pipelines/pipeline-train.yaml"
    config = monitored_config(vertex={"pipeline_template": address})
    path = cloud.buckets.path(address)
    path.parent.mkdir(parents=True)
    with LoopbackStorage(cloud.buckets) as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        with pytest.raises(PlatformError, match=f"{address} was not found"):
            launch(cloud, config)
        storage.denied.add("transak-i1")
        with pytest.raises(PlatformError, match=r"grant roles/storage\.objectViewer"):
            launch(cloud, config)
        storage.denied.clear()
        path.write_text(TEMPLATE_TEXT)
        spec = PipelineJob.to_dict(launch(cloud, config))["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "pipeline-train"


def test_a_pipeline_that_uploads_no_version_is_explained(cloud: Cloud) -> None:
    cloud.pipelines.run = lambda _: None
    with pytest.raises(PlatformError, match=r"no version of .* names it as its pipeline job"):
        train(cloud)


def test_a_training_that_a_person_started_has_the_runs_own_job(cloud: Cloud) -> None:
    for run_id in ("11111111-aaaa", "22222222-bbbb", "11111111-aaaa"):
        launch_training(
            cloud.platform.connection, CONFIG, TrainingRequest(None, WINDOW_END, run_id)
        )
    names = [job.name.rpartition("/")[2] for job in cloud.pipelines.jobs()]
    assert names == ["pipeline-train-run-11111111-aaaa", "pipeline-train-run-22222222-bbbb"]


def test_the_last_day_is_the_one_that_was_monitored() -> None:
    window_end = datetime(2026, 6, 30, tzinfo=UTC)
    for key, last_day in {
        "monitor/day-20260501-0123456789ab": date(2026, 5, 1),
        "monitor/day-20260501-0123456789ab-2": date(2026, 5, 1),
        "monitor/day-20269901-0123456789ab": date(2026, 6, 29),
        "monitor/started-by-hand": date(2026, 6, 29),
    }.items():
        assert training_days(CONFIG, TrainingRequest(key, window_end))[1] == last_day


@settings(deadline=None)
@given(st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True), st.text())
def test_a_pipeline_job_id_is_one_that_vertex_ai_takes(pipeline: str, key: str) -> None:
    job_id = pipeline_job_id(pipeline, key)
    assert re.fullmatch(r"[a-z][-a-z0-9]{0,127}", job_id)
    assert job_id == pipeline_job_id(pipeline, key)
    assert job_id != pipeline_job_id(pipeline, key + "x")


def test_a_pipeline_job_id_never_changes() -> None:
    # A changed derivation would train events again that were trained before the change. The
    # digest is that of `printf %s transak-i1-data-drift-monitor/job-1 | sha256sum`.
    key = "transak-i1-data-drift-monitor/job-1"
    assert (
        pipeline_job_id("pipeline-train", key)
        == "pipeline-train-drift-5676de027ef23c1403437f89a39ab3d0"
    )
