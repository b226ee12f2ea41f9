"""What Google's side can do to a call: what passes is survived, what stays is explained at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import grpc
import pytest

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import PlatformError, TemporaryPlatformError, TrainingRequest
from transak_drift.vertex.connection import VertexConnection, VertexEndpoint
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.monitoring_run import start_monitoring_run
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift.vertex.training_launch import launch_training
from transak_drift_tests.servers.api_rules import LOCATION, PROJECT_ID
from transak_drift_tests.servers.clients import QUICK_LIMITS, connect, monitored_config
from transak_drift_tests.servers.cutting_proxy import CuttingProxy
from transak_drift_tests.servers.grpc_server import Fault
from transak_drift_tests.servers.server import LoopbackVertex

DAY = date(2026, 5, 1)
TEMPLATE = Path(__file__).parents[1] / "servers" / "pipeline_template.yaml"
ORDER = TrainingRequest(
    "monitor/day-20260501-0123456789ab", datetime(2026, 5, 2, tzinfo=UTC), "run"
)
ROWS = [{"description": "Coop", "type": "Card"}, {"description": "Migros", "type": "Card"}]
TEMPORARY = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
]
METHODS = [
    "ListModels",
    "ListModelMonitors",
    "CreateModelMonitor",
    "GetOperation",
    "UpdateModelMonitor",
    "CreateModelMonitoringJob",
    "ListModelMonitoringJobs",
    "GetModelMonitoringJob",
    "SearchModelMonitoringStats",
    "SearchModelMonitoringAlerts",
    "GetPipelineJob",
    "CreatePipelineJob",
]


@pytest.fixture
def config() -> MonitoringConfig:
    return monitored_config(
        vertex={"pipeline_template": str(TEMPLATE), "pipeline_root": "gs://transak-i1/pipelines"}
    )


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(tmp_path / "buckets") as server:
        server.models.upload("transak-i1-train-model")
        server.buckets.write_csv("gs://transak-i1/training/1.csv", ROWS)
        server.buckets.write_csv("gs://transak-i1/predictions/2026-05-01.csv", ROWS)
        yield server


def everything(connection: VertexConnection, config: MonitoringConfig) -> None:
    """Make each call of `METHODS` at least once."""
    apply_model_monitor(connection, config)
    changed = config.model_copy(update={"drift_thresholds": {"description": 0.2, "type": 0.3}})
    apply_model_monitor(connection, changed)
    job_name = start_monitoring_run(connection, config, DAY).job_name
    jobs = VertexMonitoringJobs(connection)
    assert jobs.monitoring_result(config, job_name) is not None
    assert len(jobs.list_monitoring_jobs(config, datetime(2026, 1, 1, tzinfo=UTC))) == 1
    launch_training(connection, config, ORDER)


def assert_done_once(vertex: LoopbackVertex) -> None:
    assert len(vertex.monitoring.monitors()) == 1
    assert len(vertex.monitoring.jobs()) == 1
    assert len(vertex.pipelines.jobs()) == 1


def test_what_passes_is_survived_in_every_call(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    for method in METHODS:
        vertex.faults.order(method, *map(Fault, TEMPORARY))
    everything(connection, config)
    assert_done_once(vertex)
    assert [method for method in METHODS if vertex.faults.left(method)] == []
    for call in vertex.recorder.calls():
        assert call.deadline_seconds is not None, call.method
        # gRPC rounds what is sent, so that a little more may arrive.
        assert call.deadline_seconds <= QUICK_LIMITS.attempt_seconds + 1


def test_an_answer_that_is_lost_after_the_work_is_survived_in_every_call(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    lost = Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True)
    for method in METHODS:
        vertex.faults.order(method, lost)
    everything(connection, config)
    assert_done_once(vertex)
    assert [method for method in METHODS if vertex.faults.left(method)] == []


def test_a_slow_answer_is_asked_for_again(vertex: LoopbackVertex, config: MonitoringConfig) -> None:
    never_in_time = threading.Event()
    impatient = connect(vertex.endpoint, replace(QUICK_LIMITS, attempt_seconds=0.5))
    for method in ("ListModels", "CreateModelMonitor", "CreatePipelineJob"):
        vertex.faults.order(method, Fault(held_until=never_in_time, after_the_work=True))
    try:
        everything(impatient, config)
    finally:
        never_in_time.set()
        impatient.close()
    assert_done_once(vertex)


def test_a_dropped_connection_is_survived(vertex: LoopbackVertex, config: MonitoringConfig) -> None:
    with CuttingProxy(vertex.endpoint) as proxy:
        connection = connect(proxy.endpoint)
        for method in ("ListModels", "CreateModelMonitor", "CreatePipelineJob"):
            vertex.faults.order(method, Fault(cut=proxy.cut))
        everything(connection, config)
        connection.close()
        assert proxy.connections >= 4
    assert_done_once(vertex)


def test_a_server_that_is_away_for_a_while_is_waited_for(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    apply_model_monitor(connection, config)
    port = int(vertex.endpoint.rpartition(":")[2])
    vertex.stop()
    refused = threading.Event()

    def come_back() -> None:
        refused.wait(timeout=60)
        vertex.start(port)

    back = threading.Thread(target=come_back)
    back.start()
    impatient = connect(f"127.0.0.1:{port}", replace(QUICK_LIMITS, total_seconds=0.1))
    with pytest.raises(TemporaryPlatformError):
        apply_model_monitor(impatient, config)
    refused.set()
    assert apply_model_monitor(connection, config).changes == ()
    back.join()
    impatient.close()


def test_what_does_not_pass_ends_after_its_time_with_the_cause(
    vertex: LoopbackVertex, config: MonitoringConfig
) -> None:
    impatient = connect(vertex.endpoint, replace(QUICK_LIMITS, total_seconds=0.2))
    vertex.faults.refuse("ListModels", grpc.StatusCode.RESOURCE_EXHAUSTED, 500, "Quota exceeded.")
    with pytest.raises(TemporaryPlatformError, match=r"Quota exceeded\.; run this again later"):
        apply_model_monitor(impatient, config)
    impatient.close()
    assert len(vertex.recorder.requests("ListModels")) > 1


def test_what_stays_is_tried_once(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    for code in ("PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT", "UNAUTHENTICATED"):
        vertex.recorder.clear()
        vertex.faults.refuse("ListModels", grpc.StatusCode[code], 1, "No such thing.")
        with pytest.raises(PlatformError, match=r"No such thing\."):
            apply_model_monitor(connection, config)
        assert len(vertex.recorder.requests("ListModels")) == 1


@pytest.mark.parametrize(
    ("method", "permission", "role"),
    [
        ("ListModels", "aiplatform.models.list", "roles/aiplatform.viewer"),
        ("UpdateModelMonitor", "aiplatform.modelMonitors.update", "roles/aiplatform.user"),
        ("CreatePipelineJob", "aiplatform.pipelineJobs.create", "roles/aiplatform.user"),
    ],
)
def test_a_refusal_names_caller_permission_resource_and_role(
    vertex: LoopbackVertex, config: MonitoringConfig, method: str, permission: str, role: str
) -> None:
    account = "dagster@af-finanzen.iam.gserviceaccount.com"
    endpoint = VertexEndpoint(PROJECT_ID, LOCATION, vertex.endpoint, account)
    connection = VertexConnection(endpoint, QUICK_LIMITS)
    # Google does not always name the permission.
    vertex.faults.refuse(method, grpc.StatusCode.PERMISSION_DENIED, 1, "The caller may not.")
    with pytest.raises(PlatformError) as refusal:
        everything(connection, config)
    connection.close()
    message = str(refusal.value)
    assert f"serviceAccount:{account} lacks {permission} on projects/" in message
    assert f"grant {role} " in message


def test_a_permission_that_google_names_is_the_one_that_is_told(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.faults.refuse(
        "CreatePipelineJob",
        grpc.StatusCode.PERMISSION_DENIED,
        1,
        "Permission 'iam.serviceAccounts.actAs' denied on resource "
        "'//iam.googleapis.com/projects/p/serviceAccounts/train@p.iam.gserviceaccount.com' "
        "(or it may not exist).",
    )
    with pytest.raises(PlatformError) as refusal:
        launch_training(connection, config, ORDER)
    message = str(refusal.value)
    assert "lacks iam.serviceAccounts.actAs on projects/p/serviceAccounts/train@p" in message
    assert "grant roles/iam.serviceAccountUser" in message


@pytest.mark.parametrize(
    ("project", "location", "message"),
    [
        ("another-project", LOCATION, "permission denied: .* on projects/another-project"),
        (PROJECT_ID, "europe-north1", "was not found: check project_id, location"),
    ],
)
def test_another_project_or_location_is_explained(
    vertex: LoopbackVertex, config: MonitoringConfig, project: str, location: str, message: str
) -> None:
    connection = VertexConnection(VertexEndpoint(project, location, vertex.endpoint), QUICK_LIMITS)
    with pytest.raises(PlatformError, match=message):
        find_model(connection, config)
    connection.close()


def test_an_operation_that_fails_is_explained(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.operations.fail_next(grpc.StatusCode.INVALID_ARGUMENT, "The dataset has no column type.")
    with pytest.raises(PlatformError, match=r"The dataset has no column type\."):
        apply_model_monitor(connection, config)


def test_an_operation_that_does_not_end_is_named(
    vertex: LoopbackVertex, config: MonitoringConfig
) -> None:
    vertex.operations.looks = 1_000_000
    impatient = connect(vertex.endpoint, replace(QUICK_LIMITS, operation_seconds=0.1))
    with pytest.raises(PlatformError, match=r"is not done after 0\.1 s; look at the operation"):
        apply_model_monitor(impatient, config)
    impatient.close()


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        (None, False),
        ("127.0.0.1:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("10.0.0.1:443", False),
        ("vertex.internal:443", False),
        ("127.0.0.1.example.com:443", False),
    ],
)
def test_only_loopback_is_spoken_to_without_credentials(
    address: str | None, is_loopback: bool
) -> None:
    assert VertexEndpoint(PROJECT_ID, LOCATION, address).is_loopback is is_loopback


@pytest.mark.parametrize("address", ["", "host", "http://host:80", "host:port", "a b:1"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(PlatformError, match="is not host:port"):
        VertexEndpoint(PROJECT_ID, LOCATION, address)


def test_without_credentials_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: MonitoringConfig
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    connection = VertexConnection(VertexEndpoint(PROJECT_ID, LOCATION))
    with pytest.raises(PlatformError, match="gcloud auth application-default login"):
        find_model(connection, config)
