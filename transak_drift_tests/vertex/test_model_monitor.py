"""The ModelMonitor is created once, updated where it differs, and never doubled."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, Literal

import grpc
import pytest
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.platform import Change, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_run import start_monitoring_run
from transak_drift.vertex.monitors import apply_model_monitor, own_monitors, version_monitor_id
from transak_drift_tests.servers.clients import connect, monitored_config
from transak_drift_tests.servers.grpc_server import Fault
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.vertex.conftest import (
    configured_spec,
    csv_dataset,
    described,
    full_config,
)

MODEL = "projects/123456789012/locations/europe-west6/models/1001"
NAME = "projects/af-finanzen/locations/europe-west6/modelMonitors/transak-i1-data-drift-monitor"


def test_the_monitor_carries_exactly_the_configuration(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    thresholds = {"description": 0.25, "type": 0.3, "amount": 0.15}
    applied = apply_model_monitor(connection, full_config(**thresholds))
    assert (applied.resource_name, applied.created) == (NAME, True)
    (request,) = vertex.recorder.requests("CreateModelMonitor")
    assert request.model_monitor_id == "transak-i1-data-drift-monitor"
    assert request.parent == "projects/af-finanzen/locations/europe-west6"
    assert described(request.model_monitor) == {
        "display_name": "transak_i1_data_drift_monitor",
        "model_monitoring_target": {"vertex_model": {"model": MODEL, "model_version_id": "1"}},
        "training_dataset": csv_dataset("gs://transak-i1/training/1.csv"),
        "model_monitoring_schema": {
            "feature_fields": [
                {"name": "description", "data_type": "categorical"},
                {"name": "type", "data_type": "categorical"},
                {"name": "amount", "data_type": "float"},
            ]
        },
        **configured_spec(**thresholds),
    }


def test_applied_twice_nothing_is_written(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    assert apply_model_monitor(connection, config).created
    vertex.recorder.clear()
    again = apply_model_monitor(connection, config)
    assert (again.created, again.changes) == (False, ())
    called = {call.method for call in vertex.recorder.calls()}
    assert called == {"ListModels", "ListModelMonitors"}


def test_a_changed_setting_is_one_update_with_its_mask(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    apply_model_monitor(connection, config)
    settings: dict[str, Any] = {}
    for changes, path in (
        (
            {"drift_thresholds": {"description": 0.2, "type": 0.3}},
            "tabular_objective.feature_drift_spec.feature_alert_conditions.description.threshold",
        ),
        ({"log_anomalies": False}, "notification_spec.enable_cloud_logging"),
        ({"user_emails": ["a@example.com"]}, "notification_spec.email_config.user_emails"),
        (
            {"notification_channels": ["projects/af-finanzen/notificationChannels/9"]},
            "notification_spec.notification_channel_configs",
        ),
        (
            {
                "monitoring_job_display_name": "another name",
                "model_monitor_id": "transak-i1-data-drift-monitor",
            },
            "display_name",
        ),
        (
            {"vertex": {"training_dataset": "bq://af-finanzen.t.training"}},
            "training_dataset.columnized_dataset.bigquery_source.table_uri",
        ),
        (
            {
                "vertex": {
                    "training_dataset": "bq://af-finanzen.t.training",
                    "monitoring_output": "gs://transak-i1/out",
                }
            },
            "output_spec.gcs_base_directory.output_uri_prefix",
        ),
    ):
        settings |= changes
        changed = monitored_config(**settings)
        applied = apply_model_monitor(connection, changed)
        assert [change.path for change in applied.changes] == [path]
        assert apply_model_monitor(connection, changed).changes == ()
        request = vertex.recorder.requests("UpdateModelMonitor")[-1]
        assert list(request.update_mask.paths) == [path.partition(".")[0]]
    assert len(vertex.recorder.requests("UpdateModelMonitor")) == 7


def test_a_feature_added_or_removed_updates_objective_and_schema(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    apply_model_monitor(connection, config)
    apply_model_monitor(connection, monitored_config(drift_thresholds={"type": 0.3}))
    (request,) = vertex.recorder.requests("UpdateModelMonitor")
    assert list(request.update_mask.paths) == ["model_monitoring_schema", "tabular_objective"]
    (monitor,) = vertex.monitoring.monitors()
    assert list(monitor.tabular_objective.feature_drift_spec.features) == ["type"]
    assert [field.name for field in monitor.model_monitoring_schema.feature_fields] == ["type"]


def promote(vertex: LoopbackVertex, config: MonitoringConfig) -> None:
    """Upload a version that predicts from now on."""
    monitor = vertex.monitoring.monitors()[0]
    model = monitor.model_monitoring_target.vertex_model.model
    vertex.models.upload(config.model_name, parent_model=model)


def monitored_versions(vertex: LoopbackVertex) -> dict[str, str]:
    """Return the version that each monitor targets, by the monitor's id."""
    return {
        monitor.name.rpartition("/")[
            2
        ]: monitor.model_monitoring_target.vertex_model.model_version_id
        for monitor in vertex.monitoring.monitors()
    }


def test_a_promoted_version_becomes_target_and_baseline_in_two_updates(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    apply_model_monitor(connection, config)
    promote(vertex, config)
    changes = apply_model_monitor(connection, config).changes
    assert changes == (
        Change("model_monitoring_target.vertex_model.model_version_id", "1", "2"),
        Change(
            "training_dataset.columnized_dataset.gcs_source.gcs_uri",
            "gs://transak-i1/training/1.csv",
            "gs://transak-i1/training/2.csv",
        ),
    )
    masks = [list(r.update_mask.paths) for r in vertex.recorder.requests("UpdateModelMonitor")]
    assert masks == [["model_monitoring_target"], ["training_dataset"]]
    assert monitored_versions(vertex) == {"transak-i1-data-drift-monitor": "2"}


@pytest.mark.parametrize("answer", ["refused", "ignored"])
def test_where_the_target_stays_the_promoted_version_gets_a_monitor_of_its_own(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    answer: Literal["refused", "ignored"],
) -> None:
    vertex.monitoring.target_update = answer
    apply_model_monitor(connection, config)
    for version in ("2", "3"):
        promote(vertex, config)
        applied = apply_model_monitor(connection, config)
        assert (applied.resource_name, applied.created) == (f"{NAME}-v{version}", True)
    again = apply_model_monitor(connection, config)
    assert (again.resource_name, again.changes) == (f"{NAME}-v3", ())
    assert monitored_versions(vertex) == {
        "transak-i1-data-drift-monitor": "1",
        "transak-i1-data-drift-monitor-v2": "2",
        "transak-i1-data-drift-monitor-v3": "3",
    }
    # What is still on its way from the old version's jobs counts.
    assert set(own_monitors(connection, config).monitor_ids) == set(monitored_versions(vertex))
    baseline = vertex.monitoring.monitors()[-1].training_dataset.columnized_dataset.gcs_source
    assert baseline.gcs_uri == "gs://transak-i1/training/3.csv"


def test_the_alias_says_which_version_is_monitored(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    config = monitored_config(model_alias="production")
    with pytest.raises(PlatformError, match=r"no version of .*models/1001 has the alias 'prod"):
        apply_model_monitor(connection, config)
    model = vertex.models.upload(config.model_name, parent_model=MODEL)
    vertex.models.set_alias(MODEL, "production", "1")
    assert (model.version_id, list(model.version_aliases)) == ("2", ["default"])
    assert apply_model_monitor(connection, config).created
    assert monitored_versions(vertex) == {"transak-i1-data-drift-monitor": "1"}
    vertex.models.set_alias(MODEL, "production", "2")
    apply_model_monitor(connection, config)
    assert monitored_versions(vertex) == {"transak-i1-data-drift-monitor": "2"}


@pytest.mark.parametrize(
    ("configured", "version", "expected"),
    [
        ("transak", "2", "transak-v2"),
        ("a" * 63, "12", "a" * 59 + "-v12"),
        ("a" * 59 + "-bcd", "12", "a" * 59 + "-v12"),
        ("4412345678901234567", "2", "monitor-4412345678901234567-v2"),
    ],
)
def test_the_id_of_a_versions_monitor_is_one_that_vertex_takes(
    configured: str, version: str, expected: str
) -> None:
    assert version_monitor_id(configured, version) == expected
    assert re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", expected)


def test_what_the_configuration_does_not_decide_is_kept(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    apply_model_monitor(connection, config)
    (monitor,) = vertex.monitoring.monitors()
    monitor.model_monitoring_schema.prediction_fields = [
        types.ModelMonitoringSchema.FieldSchema(name="category", data_type="categorical")
    ]
    monitor.tabular_objective.prediction_output_drift_spec.features = ["category"]
    monitor.output_spec.gcs_base_directory.output_uri_prefix = "gs://made-by-vertex"
    assert apply_model_monitor(connection, config).changes == ()
    apply_model_monitor(connection, monitored_config(drift_thresholds={"type": 0.1}))
    (after,) = vertex.monitoring.monitors()
    assert [f.name for f in after.model_monitoring_schema.prediction_fields] == ["category"]
    assert list(after.tabular_objective.prediction_output_drift_spec.features) == ["category"]
    assert after.output_spec.gcs_base_directory.output_uri_prefix == "gs://made-by-vertex"


def test_appliers_at_once_leave_one_monitor(vertex: LoopbackVertex) -> None:
    both_have_looked = threading.Barrier(2)
    # Each applier sees that there is none before either creates it.
    vertex.faults.order("ListModelMonitors", *[Fault(cut=both_have_looked.wait)] * 2)
    vertex.operations.looks = 3

    def apply() -> bool:
        connection = connect(vertex.endpoint)
        try:
            return apply_model_monitor(connection, monitored_config()).created
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        created = [future.result() for future in [pool.submit(apply) for _ in range(2)]]
    assert sorted(created) == [False, True]
    assert len(vertex.monitoring.monitors()) == 1
    assert len(vertex.recorder.requests("CreateModelMonitor")) == 2
    assert vertex.recorder.requests("UpdateModelMonitor") == []


def made_by_hand(version: str = "1", model: str = MODEL) -> types.ModelMonitor:
    return types.ModelMonitor(
        display_name="somebody's monitor",
        model_monitoring_target={"vertex_model": {"model": model, "model_version_id": version}},
    )


@pytest.mark.parametrize("monitor_id", [None, "made-by-hand"])
def test_a_monitor_that_the_version_has_already_is_taken_over(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    monitor_id: str | None,
) -> None:
    for number in range(5):
        vertex.monitoring.put_monitor(made_by_hand(model=f"{MODEL}{number}"), f"another-{number}")
    name = vertex.monitoring.put_monitor(made_by_hand(), monitor_id)
    adopted = apply_model_monitor(connection, config)
    assert not adopted.created
    assert adopted.resource_name.rpartition("/")[2] == name.rpartition("/")[2]
    assert "display_name" in {change.path for change in adopted.changes}
    assert apply_model_monitor(connection, config).changes == ()
    assert vertex.recorder.requests("CreateModelMonitor") == []
    started = start_monitoring_run(connection, config, date(2026, 5, 1)).job_name
    assert started.startswith(f"{adopted.resource_name}/modelMonitoringJobs/day-20260501-")


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    ],
    ids=lambda code: code.name,
)
def test_a_monitor_that_another_makes_meanwhile_is_taken_over(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    code: grpc.StatusCode,
) -> None:
    vertex.monitoring.second_monitor_error = code
    made: list[str] = []
    meanwhile = Fault(cut=lambda: made.append(vertex.monitoring.put_monitor(made_by_hand())))
    vertex.faults.order("CreateModelMonitor", meanwhile)
    adopted = apply_model_monitor(connection, config)
    assert adopted.resource_name.rpartition("/")[2] == made[0].rpartition("/")[2]
    assert len(vertex.monitoring.monitors()) == 1


def test_an_id_that_another_models_monitor_has_is_named(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    other = vertex.models.upload("another model").name
    vertex.monitoring.put_monitor(made_by_hand(model=other), config.model_monitor_id)
    with pytest.raises(PlatformError, match=rf"monitors {other}, not {MODEL}: set another model_"):
        apply_model_monitor(connection, config)
    assert vertex.recorder.requests("UpdateModelMonitor") == []


@pytest.mark.parametrize("answer", ["ignored", "refused"])
def test_the_monitors_of_each_version_are_ours_whoever_made_them(
    vertex: LoopbackVertex,
    connection: VertexConnection,
    config: MonitoringConfig,
    answer: Literal["ignored", "refused"],
) -> None:
    vertex.monitoring.unknown_filter = answer
    for number in range(4):
        vertex.monitoring.put_monitor(made_by_hand(model=f"{MODEL}{number}"))
    ours = [
        vertex.monitoring.put_monitor(made_by_hand()).rpartition("/")[2],
        vertex.monitoring.put_monitor(made_by_hand("7"), "by-a-pipeline").rpartition("/")[2],
    ]
    found = own_monitors(connection, config)
    assert found.monitor_ids == tuple(ours)
    assert found.projects == {"af-finanzen", "123456789012"}
    assert found.location == "europe-west6"


@pytest.mark.parametrize("is_appended", [True, False])
def test_the_output_directory_that_vertex_answers_is_no_difference(
    vertex: LoopbackVertex, connection: VertexConnection, is_appended: bool
) -> None:
    vertex.monitoring.monitor_tells_output = is_appended
    config = monitored_config(vertex={"monitoring_output": "gs://transak-i1/monitoring"})
    apply_model_monitor(connection, config)
    assert apply_model_monitor(connection, config).changes == ()


def test_a_model_that_does_not_exist_is_named(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    with pytest.raises(PlatformError, match="no model is named 'nobody' in projects/af-finanzen"):
        apply_model_monitor(connection, monitored_config(model_name="nobody"))
    assert vertex.recorder.requests("CreateModelMonitor") == []


def test_a_model_name_that_is_not_unique_is_an_error_with_both_names(
    vertex: LoopbackVertex, connection: VertexConnection, config: MonitoringConfig
) -> None:
    for number in range(4):
        vertex.models.upload(f"another {number}")
    vertex.models.upload("transak-i1-train-model")
    with pytest.raises(PlatformError, match=r"2 models .*models/1001, .*models/1006"):
        apply_model_monitor(connection, config)


@pytest.mark.parametrize("name", ['transak "i1"', "transak\\i1", "Überwachung ß"])
def test_a_model_name_of_any_characters_is_found(
    vertex: LoopbackVertex, connection: VertexConnection, name: str
) -> None:
    vertex.models.upload(name)
    assert apply_model_monitor(connection, monitored_config(model_name=name)).created


def test_what_only_vertex_needs_is_asked_for(connection: VertexConnection) -> None:
    with pytest.raises(PlatformError, match=r"vertex\.training_dataset is not set"):
        apply_model_monitor(connection, monitored_config(vertex={"training_dataset": None}))
    with pytest.raises(PlatformError, match=r'"feature_types": \{"amount": "numerical"\}'):
        apply_model_monitor(connection, monitored_config(drift_thresholds={"amount": 0.3}))
