"""What Google's side can do to a call: what passes is survived, what stays is explained at once."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import pytest

from transak_drift.platform import PlatformError, TemporaryPlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.model_lookup import find_model
from transak_drift.vertex.platform import VertexPlatform
from transak_drift.vertex.training_launch import launch_training
from transak_drift_tests.servers.api_rules import LOCATION, PROJECT_ID
from transak_drift_tests.servers.clients import QUICK_LIMITS, monitored_config
from transak_drift_tests.servers.grpc_server import Fault
from transak_drift_tests.vertex.conftest import CONFIG, LONG_AGO, ORDER, WINDOW, Cloud

TEMPORARY = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED")


def everything(platform: VertexPlatform) -> None:
    """Make each kind of call at least once."""
    platform.apply_model_monitor(CONFIG)
    platform.apply_model_monitor(
        monitored_config(drift_thresholds={"description": 0.2, "type": 0.3})
    )
    job_name = platform.start_monitoring_run(CONFIG, WINDOW).job_name
    assert platform.monitoring_result(CONFIG, job_name) is not None
    assert len(platform.list_monitoring_jobs(CONFIG, LONG_AGO)) == 1
    assert not launch_training(platform.connection, CONFIG, ORDER).adopted


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(grpc.StatusCode[name]) for name in TEMPORARY],
        [Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True)],
    ],
    ids=["refused", "answer lost after the work"],
)
def test_what_passes_is_survived_in_every_call(cloud: Cloud, faults: list[Fault]) -> None:
    for _, methods in cloud.services().values():
        for method in methods:
            cloud.faults.order(method, *faults)
    everything(cloud.platform)
    called = {call.method for call in cloud.calls}
    assert len(called) == 12
    assert [method for method in called if cloud.faults.left(method)] == []
    assert_done_once(cloud)
    for call in cloud.calls:
        assert call.deadline_seconds is not None, call.method
        # gRPC rounds what is sent, so that a little more may arrive.
        assert call.deadline_seconds <= QUICK_LIMITS.attempt_seconds + 1


def assert_done_once(cloud: Cloud) -> None:
    assert len(cloud.monitoring.monitors()) == 1
    assert len(cloud.monitoring.jobs()) == 1
    assert len(cloud.pipelines.jobs()) == 1


def test_a_slow_answer_is_asked_for_again(cloud: Cloud) -> None:
    never_in_time = threading.Event()
    for method in ("ListModels", "CreateModelMonitor", "CreatePipelineJob"):
        cloud.faults.order(method, Fault(held_until=never_in_time, after_the_work=True))
    everything(cloud.connect(attempt_seconds=0.5))
    never_in_time.set()
    assert_done_once(cloud)


def test_a_server_that_goes_away_in_a_call_is_waited_for(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    endpoint = cloud.endpoint
    in_call, gone, refused = threading.Event(), threading.Event(), threading.Event()

    def go_away_and_come_back() -> None:
        in_call.wait(timeout=60)
        cloud.stop()
        gone.set()
        refused.wait(timeout=60)
        cloud.start(int(endpoint.rpartition(":")[2]))

    away = threading.Thread(target=go_away_and_come_back)
    away.start()
    cloud.faults.order("ListModels", Fault(cut=in_call.set, held_until=gone))
    impatient = cloud.connect(total_seconds=0.1)
    with pytest.raises(TemporaryPlatformError):
        impatient.apply_model_monitor(CONFIG)
    gone.wait(timeout=60)
    with pytest.raises(TemporaryPlatformError):
        impatient.apply_model_monitor(CONFIG)
    refused.set()
    assert cloud.platform.apply_model_monitor(CONFIG).changes == ()
    away.join()


@pytest.mark.parametrize(
    ("code", "is_repeated"),
    [
        ("RESOURCE_EXHAUSTED", True),
        ("PERMISSION_DENIED", False),
        ("NOT_FOUND", False),
        ("INVALID_ARGUMENT", False),
        ("UNAUTHENTICATED", False),
    ],
)
def test_what_does_not_pass_ends_with_the_cause(cloud: Cloud, code: str, is_repeated: bool) -> None:
    cloud.faults.refuse("ListModels", grpc.StatusCode[code], 500, "No such thing.")
    with pytest.raises(PlatformError, match=r"No such thing\.") as refused:
        cloud.connect(total_seconds=0.2).apply_model_monitor(CONFIG)
    assert isinstance(refused.value, TemporaryPlatformError) is is_repeated
    assert (len(cloud.requests("ListModels")) > 1) is is_repeated


# Google does not always name the permission and the resource.
@pytest.mark.parametrize(
    ("method", "permission", "named", "role"),
    [
        ("ListModels", "aiplatform.models.list", "", "aiplatform.viewer"),
        ("UpdateModelMonitor", "aiplatform.modelMonitors.update", "", "aiplatform.user"),
        (
            "SearchModelMonitoringStats",
            "aiplatform.modelMonitors.searchModelMonitoringStats",
            "",
            "aiplatform.viewer",
        ),
        ("CreatePipelineJob", "aiplatform.pipelineJobs.create", "", "aiplatform.user"),
        (
            "CreatePipelineJob",
            "iam.serviceAccounts.actAs",
            "projects/p/serviceAccounts/a",
            "iam.serviceAccountUser",
        ),
    ],
)
def test_a_refusal_names_caller_permission_resource_and_role(
    cloud: Cloud, method: str, permission: str, named: str, role: str
) -> None:
    account = "dagster@af-finanzen.iam.gserviceaccount.com"
    connection = VertexConnection(PROJECT_ID, LOCATION, cloud.endpoint, account, QUICK_LIMITS)
    told = "The caller may not."
    if named:
        told = f"Permission '{permission}' denied on resource '//iam.googleapis.com/{named}' (or"
    cloud.faults.refuse(method, grpc.StatusCode.PERMISSION_DENIED, 1, told)
    with pytest.raises(PlatformError) as refusal:
        everything(
            VertexPlatform(connection, cloud.platform.find_data, cloud.platform.count_labelled)
        )
    message = str(refusal.value)
    resource = named or "projects/af-finanzen/"
    assert f"serviceAccount:{account} lacks {permission} on {resource}" in message
    assert f"grant roles/{role} " in message


@pytest.mark.parametrize(
    ("project", "location", "message"),
    [
        ("another-project", LOCATION, "permission denied: .* on projects/another-project"),
        (PROJECT_ID, "europe-north1", "was not found: check project_id, location"),
    ],
)
def test_another_project_or_location_is_explained(
    cloud: Cloud, project: str, location: str, message: str
) -> None:
    connection = VertexConnection(project, location, cloud.endpoint, limits=QUICK_LIMITS)
    with pytest.raises(PlatformError, match=message):
        find_model(connection, CONFIG)


def test_an_operation_without_success_is_explained(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    impatient, changed = cloud.connect(operation_seconds=0.1), monitored_config(log_anomalies=False)
    cloud.operations.fail_next(grpc.StatusCode.INVALID_ARGUMENT, "No type.")
    with pytest.raises(PlatformError, match=r"No type\."):
        impatient.apply_model_monitor(changed)
    cloud.operations.looks = 1_000_000
    with pytest.raises(PlatformError, match=r"not done after 0\.1 s; look at the operation"):
        impatient.apply_model_monitor(changed)


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        (None, False),
        ("127.0.0.1:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("10.0.0.1:443", False),
        ("127.0.0.1.example.com:443", False),
    ],
)
def test_only_loopback_is_spoken_to_without_credentials(
    address: str | None, is_loopback: bool
) -> None:
    assert VertexConnection(PROJECT_ID, LOCATION, address).is_loopback is is_loopback


def test_without_credentials_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(PlatformError, match="gcloud auth application-default login"):
        find_model(VertexConnection(PROJECT_ID, LOCATION), CONFIG)
