"""A drift event trains once: launch, adoption, following, cancelling, outcome."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.aiplatform_v1 import types

from transak_drift.config.monitoring_config import MonitoringConfig, parse_config
from transak_drift.platform import Dataset, PlatformError, TrainingRequest
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.platform import VertexPlatform
from transak_drift.vertex.training_launch import LaunchedTraining, launch_training
from transak_drift_tests.servers.clients import QUICK_LIMITS, connect, monitored_config
from transak_drift_tests.servers.grpc_server import Fault, RefusedError
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.servers.storage_server import LoopbackStorage

TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
EVENT = "transak-i1-data-drift-monitor/day-20260501-0123456789ab"
WINDOW_END = datetime(2026, 5, 2, tzinfo=UTC)
ORDER = TrainingRequest(EVENT, WINDOW_END, "run-1")
MODEL = "projects/123456789012/locations/europe-west6/models/1001"


class NoData:
    """No test of training looks at data."""

    def describe(self, address: str, day: date, date_column: str | None) -> Dataset:
        raise AssertionError(f"{address} is looked at")


def training_config(vertex: dict[str, Any] | None = None, **changes: Any) -> MonitoringConfig:
    section = {
        "pipeline_template": str(TEMPLATE),
        "pipeline_root": "gs://transak-i1/pipelines",
        **(vertex or {}),
    }
    return monitored_config(vertex=section, **changes)


@pytest.fixture
def config() -> MonitoringConfig:
    return training_config()


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    """A server whose pipeline uploads and promotes a version, as pipeline-train does."""
    with LoopbackVertex(tmp_path / "buckets") as server:
        server.models.upload("transak-i1-train-model", artifact_uri="gs://transak-i1/models/1")

        def run(job: types.PipelineJob) -> None:
            server.models.upload(
                "transak-i1-train-model",
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
            }
            job.job_detail = types.PipelineJobDetail(
                task_details=[
                    types.PipelineTaskDetail(
                        task_name="train",
                        state=types.PipelineTaskDetail.State.SUCCEEDED,
                        outputs={
                            "metrics": types.PipelineTaskDetail.ArtifactList(
                                artifacts=[
                                    types.Artifact(schema_title="system.Metrics", metadata=metrics)
                                ]
                            )
                        },
                    )
                ]
            )

        server.pipelines.run = run
        yield server


def platform_of(connection: VertexConnection, **options: Any) -> VertexPlatform:
    return VertexPlatform(connection, NoData().describe, **options)


def request(run_id: str = "run-1") -> TrainingRequest:
    return TrainingRequest(EVENT, WINDOW_END, run_id)


def test_the_job_carries_template_parameters_root_account_labels_and_no_caching(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    config = training_config(
        maximum_training_days=7,
        vertex={
            "pipeline_parameters": {"epochs": 3, "note": "{first_day} to {last_day}"},
            "pipeline_service_account": "train@af-finanzen.iam.gserviceaccount.com",
            "pipeline_network": "projects/123456789012/global/networks/transak",
            "pipeline_labels": {"team": "mlops"},
        },
    )
    launched = launch_training(connection, config, ORDER)
    assert not launched.adopted
    (created,) = vertex.recorder.requests("CreatePipelineJob")
    job = created.pipeline_job
    assert created.pipeline_job_id.startswith("pipeline-train-drift-")
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
        "transak-drift-run": "run-1",
    }
    spec = types.PipelineJob.to_dict(job)["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "pipeline-train"
    assert spec["root"]["dag"]["tasks"]["train"]["cachingOptions"] == {"enableCache": False}


def test_a_pipeline_that_asks_for_the_configuration_gets_it_whole(
    vertex: LoopbackVertex, connection: VertexConnection, tmp_path: Path
) -> None:
    template = tmp_path / "train.yaml"
    text = TEMPLATE.read_text().replace("      model_name:\n", "      monitoring_config:\n")
    template.write_text(text.replace("      drift_event:\n", "      champion_uri:\n"))
    config = training_config(vertex={"pipeline_template": str(template)})
    launch_training(connection, config, ORDER)
    (created,) = vertex.recorder.requests("CreatePipelineJob")
    values = dict(created.pipeline_job.runtime_config.parameter_values)
    assert parse_config(values["monitoring_config"], "parameter") == config
    assert values["champion_uri"] == "gs://transak-i1/models/1"


def test_callers_at_once_launch_one_job(vertex: LoopbackVertex, config: MonitoringConfig) -> None:
    # Neither creates the job before both have seen that there is none.
    both_have_looked = threading.Barrier(2)
    looked = Fault(cut=lambda: both_have_looked.wait(timeout=60))
    vertex.faults.order("GetPipelineJob", looked, looked)

    def launch(run_id: str) -> LaunchedTraining:
        connection = connect(vertex.endpoint)
        try:
            return launch_training(connection, config, request(run_id))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(launch, ("run-1", "run-2"))
    assert sorted([first.adopted, second.adopted]) == [False, True]
    assert first.job_name == second.job_name
    assert len(vertex.pipelines.jobs()) == 1
    assert len(vertex.recorder.requests("CreatePipelineJob")) == 2


def test_a_creation_whose_answer_is_lost_is_the_runs_own(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.faults.order(
        "CreatePipelineJob", Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True)
    )
    assert not launch_training(connection, config, ORDER).adopted
    assert len(vertex.pipelines.jobs()) == 1


def test_the_outcome_is_the_version_that_the_job_uploaded(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    told: list[str] = []
    result = platform_of(connection).train(config, request(), told.append)
    assert (result.version, result.champion_before, result.champion_after) == ("2", "1", "2")
    assert (result.promoted, result.adopted) == (True, False)
    assert result.reason == "macro F1 0.91 is not worse than the champion's 0.80"
    assert result.metrics == {"accuracy": 0.93, "macro F1": 0.91}
    assert result.champion_metrics == {"macro F1": 0.8}
    assert result.training_rows == 4_000
    assert result.training_days == (date(2026, 4, 29), date(2026, 5, 1))
    assert result.trained_until == WINDOW_END
    assert result.console_url is not None
    assert result.console_url.startswith("https://console.cloud.google.com/vertex-ai/locations/")
    states = [line.rpartition(": ")[2] for line in told if "pipelineJobs" in line]
    assert states[1:] == ["running", "succeeded"]


def test_a_promotion_makes_its_training_data_the_baseline(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    platform = platform_of(connection)
    platform.apply_model_monitor(config)
    told: list[str] = []
    platform.train(config, request(), told.append)
    (monitor,) = vertex.monitoring.monitors()
    source = monitor.training_dataset.columnized_dataset.gcs_source
    assert source.gcs_uri == "gs://transak-i1/training/2.csv"
    assert any("training/1.csv -> gs://transak-i1/training/2.csv" in line for line in told)


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INTERNAL])
def test_a_monitor_that_cannot_follow_leaves_the_training_as_finished(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    code: grpc.StatusCode,
) -> None:
    platform = platform_of(connection)
    platform.apply_model_monitor(config)
    vertex.faults.refuse("UpdateModelMonitor", code, times=1, message="Not now.")
    told: list[str] = []
    result = platform.train(config, request(), told.append)
    assert (result.version, result.promoted) == ("2", True)
    (warning,) = result.warnings
    assert "version 2 predicts, but its data are not monitored yet" in warning
    assert "Not now." in warning
    assert warning in told
    assert platform.train(config, request("run-2"), told.append).warnings == ()
    (monitor,) = vertex.monitoring.monitors()
    assert monitor.model_monitoring_target.vertex_model.model_version_id == "2"


def test_a_challenger_that_is_worse_changes_nothing(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:

    def upload_challenger(job: types.PipelineJob) -> None:
        vertex.models.upload(
            "transak-i1-train-model", parent_model=MODEL, pipeline_job=job.name, is_default=False
        )

    vertex.pipelines.run = upload_challenger
    platform = platform_of(connection)
    platform.apply_model_monitor(config)
    result = platform.train(config, request(), lambda _: None)
    assert (result.version, result.champion_after, result.promoted) == ("2", "1", False)
    assert "does not predict" in result.reason
    assert vertex.recorder.requests("UpdateModelMonitor") == []


def test_a_run_that_died_is_followed_by_one_that_adopts_its_job(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    launch_training(connection, config, TrainingRequest(EVENT, WINDOW_END, "run-that-died"))
    result = platform_of(connection).train(config, request("its-retry"), lambda _: None)
    assert (result.adopted, result.version) == (True, "2")
    assert len(vertex.pipelines.jobs()) == 1
    again = platform_of(connection).train(config, request("once-more"), lambda _: None)
    assert (again.adopted, again.version) == (True, "2")
    assert len(vertex.recorder.requests("CreatePipelineJob")) == 1


def test_a_failed_training_ends_the_run_and_the_next_run_trains_again(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    run = vertex.pipelines.run

    def fail(_: types.PipelineJob) -> None:
        raise RefusedError(grpc.StatusCode.INTERNAL, "The replica ran out of memory.")

    vertex.pipelines.run = fail
    with pytest.raises(PlatformError, match=r"PIPELINE_STATE_FAILED: The replica ran out of mem"):
        platform_of(connection).train(config, request(), lambda _: None)
    vertex.pipelines.run = run
    result = platform_of(connection).train(config, request("run-2"), lambda _: None)
    assert result.version == "2"
    first, second = vertex.pipelines.jobs()
    assert second.name == f"{first.name}-attempt-2"


def test_a_trigger_that_only_forwards_messages_never_trains_again(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    launched = launch_training(connection, config, ORDER, retry_failed=False)
    vertex.pipelines.jobs()[0].state = types.PipelineState.PIPELINE_STATE_FAILED
    again = launch_training(
        connection, config, TrainingRequest(EVENT, WINDOW_END), retry_failed=False
    )
    assert (again.job_name, again.adopted) == (launched.job_name, True)
    assert len(vertex.pipelines.jobs()) == 1


@pytest.mark.parametrize(("is_cancelled", "state"), [(True, "CANCELLED"), (False, "PENDING")])
def test_an_interrupt_cancels_the_job_only_where_the_run_is_cancelled(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    is_cancelled: bool,
    state: str,
) -> None:
    asked: list[str] = []

    def ask(run_id: str) -> bool:
        asked.append(run_id)
        return is_cancelled

    def interrupt(sentence: str) -> None:
        # Dagster raises a BaseException into the step of a run that is terminated.
        if sentence.endswith((": pending", ": running")):
            raise KeyboardInterrupt

    vertex.pipelines.looks = 1_000
    platform = platform_of(connection, is_cancelled=ask)
    with pytest.raises(KeyboardInterrupt):
        platform.train(config, request(), interrupt)
    assert asked == ["run-1"]
    (job,) = vertex.pipelines.jobs()
    expected = state if is_cancelled else "RUNNING"
    assert types.PipelineState(job.state).name == f"PIPELINE_STATE_{expected}"


def test_an_outage_while_a_job_is_followed_is_survived(
    vertex: LoopbackVertex, config: MonitoringConfig
) -> None:
    impatient = connect(vertex.endpoint, replace(QUICK_LIMITS, total_seconds=0.05))
    launch_training(impatient, config, ORDER)
    vertex.faults.order("GetPipelineJob", Fault())
    vertex.faults.refuse("GetPipelineJob", grpc.StatusCode.UNAVAILABLE, times=40)
    told: list[str] = []
    result = platform_of(impatient).train(config, request(), told.append)
    impatient.close()
    assert result.version == "2"
    assert any("still following" in line for line in told)
    assert vertex.faults.left("GetPipelineJob") == 0


@pytest.mark.parametrize(
    ("vertex_changes", "message"),
    [
        ({"pipeline_template": None}, r"vertex\.pipeline_template is not set"),
        ({"pipeline_template": "missing.yaml"}, r"'missing\.yaml' cannot be read"),
        ({"pipeline_root": None}, r"vertex\.pipeline_root is not set"),
        ({"pipeline_parameters": {"epoch": 1}}, r"pipeline_parameters\.epoch is no parameter"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_created(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    vertex_changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(PlatformError, match=message):
        launch_training(connection, training_config(vertex=vertex_changes), ORDER)
    assert vertex.recorder.requests("CreatePipelineJob") == []


def test_the_template_may_be_in_cloud_storage(
    vertex: LoopbackVertex, connection: VertexConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "gs://transak-i1/pipelines/pipeline-train.yaml"
    config = training_config(vertex={"pipeline_template": address})
    path = vertex.buckets.path(address)
    path.parent.mkdir(parents=True)
    with LoopbackStorage(vertex.buckets) as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        with pytest.raises(PlatformError, match=f"{address} was not found"):
            launch_training(connection, config, ORDER)
        storage.denied.add("transak-i1")
        with pytest.raises(PlatformError, match=r"grant roles/storage\.objectViewer"):
            launch_training(connection, config, ORDER)
        storage.denied.clear()
        path.write_bytes(TEMPLATE.read_bytes())
        launch_training(connection, config, ORDER)
    (created,) = vertex.recorder.requests("CreatePipelineJob")
    spec = types.PipelineJob.to_dict(created.pipeline_job)["pipeline_spec"]
    assert spec["pipelineInfo"]["name"] == "pipeline-train"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just text", "is no compiled pipeline"),
        ("root: {}\n", "is no compiled pipeline"),
        ("a: [", "cannot be read"),
        (
            TEMPLATE.read_text().replace("      model_name:\n", "      region:\n"),
            r"the pipeline needs the parameter region: add vertex\.pipeline_parameters\.region",
        ),
    ],
)
def test_a_wrong_template_is_explained(
    connection: VertexConnection, tmp_path: Path, text: str, message: str
) -> None:
    template = tmp_path / "train.yaml"
    template.write_text(text)
    config = training_config(vertex={"pipeline_template": str(template)})
    with pytest.raises(PlatformError, match=message):
        launch_training(connection, config, ORDER)


def test_a_pipeline_that_uploads_no_version_is_explained(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.pipelines.run = lambda _: None
    with pytest.raises(PlatformError, match=r"no version of .* names it as its pipeline job"):
        platform_of(connection).train(config, request(), lambda _: None)


def test_a_training_that_a_person_started_has_the_runs_own_job(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    for run_id in ("11111111-aaaa", "22222222-bbbb", "11111111-aaaa"):
        launch_training(connection, config, TrainingRequest(None, WINDOW_END, run_id))
    names = [job.name.rpartition("/")[2] for job in vertex.pipelines.jobs()]
    assert names == ["pipeline-train-run-11111111-aaaa", "pipeline-train-run-22222222-bbbb"]


def test_the_last_day_is_the_one_that_was_monitored(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    for key, last_day in {
        "monitor/day-20260501-0123456789ab": "2026-05-01",
        "monitor/day-20260501-0123456789ab-2": "2026-05-01",
        "monitor/day-20269901-0123456789ab": "2026-06-29",
        "monitor/started-by-hand": "2026-06-29",
    }.items():
        launch_training(connection, config, TrainingRequest(key, datetime(2026, 6, 30, tzinfo=UTC)))
        parameters = vertex.pipelines.jobs()[-1].runtime_config.parameter_values
        assert dict(parameters)["last_day"] == last_day
