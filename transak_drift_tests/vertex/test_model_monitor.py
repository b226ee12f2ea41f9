"""The ModelMonitor is created once, updated where it differs, and never doubled."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import grpc
import pytest
from google.cloud.aiplatform_v1.types import PipelineJob
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.platform import Change, PlatformError
from transak_drift.vertex.monitors import version_monitor_id
from transak_drift_tests.servers.api_rules import PARENT
from transak_drift_tests.servers.clients import csv_dataset, monitored_config
from transak_drift_tests.servers.grpc_server import Fault
from transak_drift_tests.vertex.conftest import (
    BASELINE,
    CONFIG,
    MODEL,
    MODEL_NAME,
    TARGET,
    WINDOW,
    Cloud,
    described,
)

CHANNELS = ["projects/af-finanzen/notificationChannels/9"]
NAME = "projects/af-finanzen/locations/europe-west6/modelMonitors/transak-i1-data-drift-monitor"


def test_the_monitor_and_a_job_carry_exactly_the_configuration(cloud: Cloud) -> None:
    thresholds = {"description": 0.25, "type": 0.3, "amount": 0.15}
    config = monitored_config(
        drift_thresholds=thresholds,
        feature_types={"amount": "numerical"},
        notification_channels=CHANNELS,
        user_emails=["mlops@example.com"],
        vertex={"monitoring_output": "gs://transak-i1/monitoring"},
    )
    drift = {
        "features": list(thresholds),
        "categorical_metric_type": "l_infinity",
        "numeric_metric_type": "jensen_shannon_divergence",
        "feature_alert_conditions": {
            feature: {"threshold": threshold} for feature, threshold in thresholds.items()
        },
    }
    objective = {"feature_drift_spec": drift}
    shared = {
        "notification_spec": {
            "email_config": {"user_emails": ["mlops@example.com"]},
            "enable_cloud_logging": True,
            "notification_channel_configs": [{"notification_channel": CHANNELS[0]}],
        },
        "output_spec": {"gcs_base_directory": {"output_uri_prefix": "gs://transak-i1/monitoring"}},
    }
    applied = cloud.platform.apply_model_monitor(config)
    assert (applied.resource_name, applied.created) == (NAME, True)
    (request,) = cloud.requests("CreateModelMonitor")
    assert request.model_monitor_id == "transak-i1-data-drift-monitor"
    assert request.parent == "projects/af-finanzen/locations/europe-west6"
    assert described(request.model_monitor) == {
        "display_name": "transak_i1_data_drift_monitor",
        "model_monitoring_target": {"vertex_model": {"model": MODEL, "model_version_id": "1"}},
        "training_dataset": csv_dataset(BASELINE),
        "model_monitoring_schema": {
            "feature_fields": [
                {"name": "description", "data_type": "categorical"},
                {"name": "type", "data_type": "categorical"},
                {"name": "amount", "data_type": "float"},
            ]
        },
        "tabular_objective": objective,
        **shared,
    }
    cloud.platform.start_monitoring_run(config, WINDOW)
    (request,) = cloud.requests("CreateModelMonitoringJob")
    assert described(request.model_monitoring_job.model_monitoring_spec) == {
        "objective_spec": {
            "tabular_objective": objective,
            "baseline_dataset": csv_dataset(BASELINE),
            "target_dataset": csv_dataset(TARGET),
        },
        **shared,
    }


def test_applied_twice_nothing_is_written(cloud: Cloud) -> None:
    assert cloud.platform.apply_model_monitor(CONFIG).created
    cloud.calls.clear()
    again = cloud.platform.apply_model_monitor(CONFIG)
    assert (again.created, again.changes) == (False, ())
    called = {call.method for call in cloud.calls}
    assert called == {"ListModels", "ListModelMonitors"}


BIGQUERY = {"training_dataset": "bq://af-finanzen.t.training"}
OF_DRIFT = "tabular_objective.feature_drift_spec"


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        (
            {"drift_thresholds": {"description": 0.2, "type": 0.3}},
            [f"{OF_DRIFT}.feature_alert_conditions.description.threshold"],
        ),
        ({"log_anomalies": False}, ["notification_spec.enable_cloud_logging"]),
        ({"user_emails": ["a@b.ch"]}, ["notification_spec.email_config.user_emails"]),
        ({"notification_channels": CHANNELS}, ["notification_spec.notification_channel_configs"]),
        (
            {
                "monitoring_job_display_name": "another name",
                "model_monitor_id": "transak-i1-data-drift-monitor",
            },
            ["display_name"],
        ),
        (
            {"vertex": {**BIGQUERY, "monitoring_output": "gs://transak-i1/out"}},
            [
                "output_spec.gcs_base_directory.output_uri_prefix",
                "training_dataset.columnized_dataset.bigquery_source.table_uri",
            ],
        ),
        (
            {"drift_thresholds": {"type": 0.3}},
            ["model_monitoring_schema.feature_fields", f"{OF_DRIFT}.features"],
        ),
    ],
)
def test_a_changed_setting_is_one_update_with_its_mask(
    cloud: Cloud, changes: dict[str, Any], paths: list[str]
) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    changed = monitored_config(**changes)
    applied = cloud.platform.apply_model_monitor(changed)
    assert sorted(change.path for change in applied.changes) == paths
    assert cloud.platform.apply_model_monitor(changed).changes == ()
    (request,) = cloud.requests("UpdateModelMonitor")
    assert list(request.update_mask.paths) == [path.partition(".")[0] for path in paths]


def monitored_versions(cloud: Cloud) -> dict[str, str]:
    """Return the version that each monitor targets, by the monitor's id."""
    targets = {item.name: item.model_monitoring_target for item in cloud.monitoring.monitors()}
    return {
        name.rpartition("/")[2]: target.vertex_model.model_version_id
        for name, target in targets.items()
    }


def test_a_promoted_version_becomes_target_and_baseline_in_two_updates(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    cloud.promote()
    changes = cloud.platform.apply_model_monitor(CONFIG).changes
    assert changes == (
        Change("model_monitoring_target.vertex_model.model_version_id", "1", "2"),
        Change(
            "training_dataset.columnized_dataset.gcs_source.gcs_uri",
            "gs://transak-i1/training/1.csv",
            "gs://transak-i1/training/2.csv",
        ),
    )
    masks = [list(r.update_mask.paths) for r in cloud.requests("UpdateModelMonitor")]
    assert masks == [["model_monitoring_target"], ["training_dataset"]]
    assert monitored_versions(cloud) == {"transak-i1-data-drift-monitor": "2"}


@pytest.mark.parametrize("answer", ["refused", "ignored"])
def test_where_the_target_stays_the_promoted_version_gets_a_monitor_of_its_own(
    cloud: Cloud, answer: Literal["refused", "ignored"]
) -> None:
    cloud.monitoring.target_update = answer
    cloud.platform.apply_model_monitor(CONFIG)
    for version in ("2", "3"):
        cloud.promote()
        applied = cloud.platform.apply_model_monitor(CONFIG)
        assert (applied.resource_name, applied.created) == (f"{NAME}-v{version}", True)
    again = cloud.platform.apply_model_monitor(CONFIG)
    assert (again.resource_name, again.changes) == (f"{NAME}-v3", ())
    assert monitored_versions(cloud) == {
        "transak-i1-data-drift-monitor": "1",
        "transak-i1-data-drift-monitor-v2": "2",
        "transak-i1-data-drift-monitor-v3": "3",
    }
    # What is still on its way from the old version's jobs counts.
    assert set(cloud.platform.own_monitors(CONFIG).monitor_ids) == set(monitored_versions(cloud))
    baseline = cloud.monitoring.monitors()[-1].training_dataset.columnized_dataset.gcs_source
    assert baseline.gcs_uri == "gs://transak-i1/training/3.csv"


def test_the_alias_says_which_version_is_monitored(cloud: Cloud) -> None:
    config = monitored_config(model_alias="production")
    with pytest.raises(PlatformError, match=r"no version of .*models/1001 has the alias 'prod"):
        cloud.platform.apply_model_monitor(config)
    model = cloud.models.upload(config.model_name, parent_model=MODEL)
    cloud.models.set_alias(MODEL, "production", "1")
    assert (model.version_id, list(model.version_aliases)) == ("2", ["default"])
    assert cloud.platform.apply_model_monitor(config).created
    assert monitored_versions(cloud) == {"transak-i1-data-drift-monitor": "1"}
    cloud.models.set_alias(MODEL, "production", "2")
    cloud.platform.apply_model_monitor(config)
    assert monitored_versions(cloud) == {"transak-i1-data-drift-monitor": "2"}


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


def test_what_the_configuration_does_not_decide_is_kept(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    (monitor,) = cloud.monitoring.monitors()
    monitor.model_monitoring_schema.prediction_fields = [
        types.ModelMonitoringSchema.FieldSchema(name="category", data_type="categorical")
    ]
    monitor.tabular_objective.prediction_output_drift_spec.features = ["category"]
    monitor.output_spec.gcs_base_directory.output_uri_prefix = "gs://made-by-vertex"
    # Vertex AI may leave out what is empty.
    monitor.notification_spec = types.ModelMonitoringNotificationSpec(enable_cloud_logging=True)
    assert cloud.platform.apply_model_monitor(CONFIG).changes == ()
    cloud.platform.apply_model_monitor(monitored_config(drift_thresholds={"type": 0.1}))
    (after,) = cloud.monitoring.monitors()
    assert [f.name for f in after.model_monitoring_schema.prediction_fields] == ["category"]
    assert list(after.tabular_objective.prediction_output_drift_spec.features) == ["category"]
    assert after.output_spec.gcs_base_directory.output_uri_prefix == "gs://made-by-vertex"


def test_appliers_at_once_leave_one_monitor(cloud: Cloud) -> None:
    both_have_looked = threading.Barrier(2)
    # Each applier sees that there is none before either creates it.
    cloud.faults.order("ListModelMonitors", *[Fault(cut=both_have_looked.wait)] * 2)
    cloud.operations.looks = 3

    def apply() -> bool:
        return cloud.connect().apply_model_monitor(CONFIG).created

    with ThreadPoolExecutor(2) as pool:
        created = [future.result() for future in [pool.submit(apply) for _ in range(2)]]
    assert sorted(created) == [False, True]
    assert len(cloud.monitoring.monitors()) == 1
    assert len(cloud.requests("CreateModelMonitor")) == 2
    assert cloud.requests("UpdateModelMonitor") == []


@pytest.mark.parametrize("monitor_id", [None, "made-by-hand"])
def test_a_monitor_that_the_version_has_already_is_taken_over(
    cloud: Cloud, monitor_id: str | None
) -> None:
    for number in range(5):
        cloud.monitoring.put_monitor(f"{MODEL}{number}", "1", f"another-{number}")
    name = cloud.monitoring.put_monitor(MODEL, "1", monitor_id)
    adopted = cloud.platform.apply_model_monitor(CONFIG)
    assert not adopted.created
    assert adopted.resource_name.rpartition("/")[2] == name.rpartition("/")[2]
    assert "display_name" in {change.path for change in adopted.changes}
    assert cloud.platform.apply_model_monitor(CONFIG).changes == ()
    assert cloud.requests("CreateModelMonitor") == []
    started = cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name
    assert started.startswith(f"{adopted.resource_name}/modelMonitoringJobs/day-20260501-")


@pytest.mark.parametrize("code", ["ALREADY_EXISTS", "INVALID_ARGUMENT", "FAILED_PRECONDITION"])
def test_a_monitor_that_another_makes_meanwhile_is_taken_over(cloud: Cloud, code: str) -> None:
    cloud.monitoring.second_monitor_error = grpc.StatusCode[code]
    made: list[str] = []
    meanwhile = Fault(cut=lambda: made.append(cloud.monitoring.put_monitor(MODEL)))
    cloud.faults.order("CreateModelMonitor", meanwhile)
    adopted = cloud.platform.apply_model_monitor(CONFIG)
    assert adopted.resource_name.rpartition("/")[2] == made[0].rpartition("/")[2]
    assert len(cloud.monitoring.monitors()) == 1


def test_an_id_that_another_models_monitor_has_is_named(cloud: Cloud) -> None:
    other = cloud.models.upload("another model").name
    cloud.monitoring.put_monitor(other, "1", CONFIG.model_monitor_id)
    with pytest.raises(PlatformError, match=rf"monitors {other}, not {MODEL}: set another model_"):
        cloud.platform.apply_model_monitor(CONFIG)
    assert cloud.requests("UpdateModelMonitor") == []


def test_the_monitors_of_each_version_are_ours_whoever_made_them(cloud: Cloud) -> None:
    for number in range(4):
        cloud.monitoring.put_monitor(f"{MODEL}{number}")
    ours = [
        cloud.monitoring.put_monitor(MODEL).rpartition("/")[2],
        cloud.monitoring.put_monitor(MODEL, "7", "by-a-pipeline").rpartition("/")[2],
    ]
    found = cloud.platform.own_monitors(CONFIG)
    assert found.monitor_ids == tuple(ours)
    assert found.projects == {"af-finanzen", "123456789012"}
    assert found.location == "europe-west6"


@pytest.mark.parametrize("is_appended", [True, False])
def test_the_output_directory_that_vertex_answers_is_no_difference(
    cloud: Cloud, is_appended: bool
) -> None:
    cloud.monitoring.monitor_tells_output = is_appended
    config = monitored_config(vertex={"monitoring_output": "gs://transak-i1/monitoring"})
    cloud.platform.apply_model_monitor(config)
    assert cloud.platform.apply_model_monitor(config).changes == ()


def test_a_model_name_that_names_none_or_two_is_an_error(cloud: Cloud) -> None:
    with pytest.raises(PlatformError, match="no model is named 'nobody' in projects/af-finanzen"):
        cloud.platform.apply_model_monitor(monitored_config(model_name="nobody"))
    for number in range(4):
        cloud.models.upload(f"another {number}")
    cloud.models.upload("transak-i1-train-model")
    with pytest.raises(PlatformError, match=r"2 models .*models/1001, .*models/1006"):
        cloud.platform.apply_model_monitor(CONFIG)
    assert cloud.requests("CreateModelMonitor") == []


def test_a_model_name_of_any_characters_is_found(cloud: Cloud) -> None:
    name = 'transak\\i1 "Überwachung ß"'
    cloud.models.upload(name)
    assert cloud.platform.apply_model_monitor(monitored_config(model_name=name)).created


def test_what_only_vertex_needs_is_asked_for(cloud: Cloud) -> None:
    with pytest.raises(PlatformError, match=r"vertex\.training_dataset is not set"):
        cloud.platform.apply_model_monitor(monitored_config(vertex={"training_dataset": None}))
    with pytest.raises(PlatformError, match=r'"feature_types": \{"amount": "numerical"\}'):
        cloud.platform.apply_model_monitor(monitored_config(drift_thresholds={"amount": 0.3}))


def test_a_baseline_by_query_has_the_version_and_the_days_that_it_was_trained_on(
    cloud: Cloud,
) -> None:
    query = "SELECT '{model_version}' WHERE '{first_day}' < '{last_day}' AND month = {yyyymm}"
    config = monitored_config(
        monitoring_window="month",
        vertex={"training_dataset": None, "training_query": query, "prediction_dataset": None},
    )

    def baseline() -> str:
        cloud.platform.apply_model_monitor(config)
        (monitor,) = cloud.monitoring.monitors()
        dataset = monitor.training_dataset
        assert not dataset.columnized_dataset.timestamp_field
        return dataset.columnized_dataset.bigquery_source.query

    # Of a version that was uploaded by hand, the months that were over then.
    uploaded = cloud.platform.ensure_registered_model(config)
    assert uploaded.version == "1"
    ended = config.windows.newest_ended(datetime.now(UTC))
    first_day = ended.last_day - timedelta(days=config.maximum_training_days - 1)
    month = f"{ended.first_day:%Y%m}"
    assert baseline() == (
        f"SELECT '1' WHERE '{first_day}' < '{ended.last_day}' AND month = {month}"
    )
    calls = len(cloud.requests("UpdateModelMonitor"))
    baseline()
    assert len(cloud.requests("UpdateModelMonitor")) == calls

    # Of one that a drift has trained, the days that its training was given, or has used of them.
    labels = {"transak-drift-first-day": "2026-03-01", "transak-drift-last-day": "2026-05-31"}
    job = cloud.pipelines.add_job(f"{PARENT}/pipelineJobs/train-1", PipelineJob(labels=labels))
    for version, used, first in (("2", 0, "2026-03-01"), ("3", 31, "2026-05-01")):
        metrics = {"training days": used}
        cloud.models.upload(MODEL_NAME, parent_model=MODEL, pipeline_job=job.name, metrics=metrics)
        assert baseline() == f"SELECT '{version}' WHERE '{first}' < '2026-05-31' AND month = 202605"
