"""A day's monitoring job: what is asked for, that it is started once, and what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_config import MonitoringConfig
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift.vertex.connection import VertexConnection
from transak_drift.vertex.monitoring_jobs import VertexMonitoringJobs
from transak_drift.vertex.monitoring_run import start_monitoring_run
from transak_drift.vertex.monitors import apply_model_monitor
from transak_drift_tests.servers.clients import monitored_config
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.vertex.conftest import (
    configured_spec,
    csv_dataset,
    described,
    full_config,
)

DAY = date(2026, 5, 1)
BASELINE = "gs://transak-i1/training/1.csv"
TARGET = "gs://transak-i1/predictions/2026-05-01.csv"


def rows(coop: int, migros: int, card: int, twint: int) -> list[dict[str, object]]:
    """Return rows of two descriptions and two types, so many of each."""
    descriptions = ["Coop"] * coop + ["Migros"] * migros
    kinds = ["Card"] * card + ["Twint"] * twint
    return [
        {"description": description, "type": kind, "amount": number % 10}
        for number, (description, kind) in enumerate(zip(descriptions, kinds, strict=True))
    ]


@pytest.fixture
def vertex(tmp_path: Path, published: list[bytes]) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(tmp_path / "buckets", publish=published.append) as server:
        server.models.upload("transak-i1-train-model")
        server.buckets.write_csv(BASELINE, rows(50, 50, 80, 20))
        server.buckets.write_csv(TARGET, rows(90, 10, 75, 25))
        yield server


@pytest.fixture
def applied(connection: VertexConnection, config: MonitoringConfig) -> VertexConnection:
    apply_model_monitor(connection, config)
    return connection


def finished(
    connection: VertexConnection, config: MonitoringConfig, job_name: str
) -> MonitoringResult:
    for _ in range(5):
        result = VertexMonitoringJobs(connection).monitoring_result(config, job_name)
        if result is not None:
            return result
    raise AssertionError("the job does not end")


def test_the_job_carries_exactly_the_configuration(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    thresholds = {"description": 0.25, "type": 0.3}
    config = full_config(**thresholds)
    apply_model_monitor(connection, config)
    start_monitoring_run(connection, config, DAY)
    (request,) = vertex.recorder.requests("CreateModelMonitoringJob")
    expected = configured_spec(**thresholds)
    assert described(request.model_monitoring_job.model_monitoring_spec) == {
        "objective_spec": {
            "tabular_objective": expected.pop("tabular_objective"),
            "baseline_dataset": csv_dataset(BASELINE),
            "target_dataset": csv_dataset(TARGET),
        },
        **expected,
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "bq://af-finanzen.transak.predictions",
            {
                "columnized_dataset": {
                    "bigquery_source": {"table_uri": "bq://af-finanzen.transak.predictions"},
                    "timestamp_field": "date",
                },
                "time_interval": {
                    "start_time": "2026-05-01T00:00:00Z",
                    "end_time": "2026-05-02T00:00:00Z",
                },
            },
        ),
        (
            "bq://af-finanzen.transak.predictions_{date:%Y%m%d}",
            {
                "columnized_dataset": {
                    "bigquery_source": {
                        "table_uri": "bq://af-finanzen.transak.predictions_20260501"
                    }
                }
            },
        ),
        (
            "gs://transak-i1/{date}/*.jsonl",
            {
                "columnized_dataset": {
                    "gcs_source": {"gcs_uri": "gs://transak-i1/2026-05-01/*.jsonl", "format_": 3}
                }
            },
        ),
    ],
)
def test_each_place_of_predictions_becomes_the_target_dataset(
    vertex: LoopbackVertex,
    applied: VertexConnection,
    address: str,
    expected: dict[str, Any],
) -> None:
    start_monitoring_run(applied, monitored_config(vertex={"prediction_dataset": address}), DAY)
    (request,) = vertex.recorder.requests("CreateModelMonitoringJob")
    dataset = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    found = json.loads(
        types.ModelMonitoringInput.to_json(
            dataset, preserving_proto_field_name=True, always_print_fields_with_no_presence=False
        )
    )
    assert found == expected


def test_the_newest_finished_batch_prediction_is_the_target_dataset(
    vertex: LoopbackVertex, applied: VertexConnection
) -> None:
    for number, state in enumerate(
        ["JOB_STATE_SUCCEEDED", "JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_RUNNING"]
    ):
        vertex.batch_predictions.add("predictions-2026-05-01", f"gs://transak-i1/b{number}", state)
    vertex.batch_predictions.add("predictions-2026-05-02", "gs://transak-i1/other")
    vertex.buckets.write_csv("gs://transak-i1/b1/part-0.csv", rows(50, 50, 80, 20))
    config = monitored_config(
        vertex={"prediction_dataset": "batchPredictionJobs/predictions-{date}"}
    )
    job_name = start_monitoring_run(applied, config, DAY).job_name
    (request,) = vertex.recorder.requests("CreateModelMonitoringJob")
    target = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    assert target.batch_prediction_output.batch_prediction_job.endswith("batchPredictionJobs/7002")
    assert [f.distance for f in finished(applied, config, job_name).features] == [0.0, 0.0]


def test_without_a_finished_batch_prediction_the_states_are_told(
    vertex: LoopbackVertex, applied: VertexConnection
) -> None:
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p-{date}"})
    with pytest.raises(PlatformError, match=r"'p-2026-05-01'.*there is none of that name"):
        start_monitoring_run(applied, config, DAY)
    vertex.batch_predictions.add("p-2026-05-01", "gs://transak-i1/x", "JOB_STATE_RUNNING")
    with pytest.raises(PlatformError, match=r"those of that name are JOB_STATE_RUNNING"):
        start_monitoring_run(applied, config, DAY)


def test_the_same_day_started_again_is_the_same_job(
    vertex: LoopbackVertex, applied: VertexConnection, config: MonitoringConfig
) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = {
            future.result().job_name
            for future in [
                pool.submit(start_monitoring_run, applied, config, DAY) for _ in range(4)
            ]
        }
    assert len(names) == 1
    assert len(vertex.monitoring.jobs()) == 1


def test_another_day_threshold_or_baseline_is_another_job(
    vertex: LoopbackVertex, applied: VertexConnection, config: MonitoringConfig
) -> None:
    changed = monitored_config(drift_thresholds={"description": 0.2, "type": 0.3})
    names = [
        start_monitoring_run(applied, config, DAY).job_name,
        start_monitoring_run(applied, config, date(2026, 5, 2)).job_name,
        start_monitoring_run(applied, changed, DAY).job_name,
    ]
    (monitor,) = vertex.monitoring.monitors()
    vertex.models.upload(
        "transak-i1-train-model",
        parent_model=monitor.model_monitoring_target.vertex_model.model,
    )
    apply_model_monitor(applied, config)
    names.append(start_monitoring_run(applied, config, DAY).job_name)
    assert len(set(names)) == 4


def test_only_a_failed_job_is_followed_by_another(
    vertex: LoopbackVertex, applied: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.buckets.path(TARGET).unlink()
    failed = start_monitoring_run(applied, config, DAY).job_name
    with pytest.raises(MonitoringRunFailedError, match="matches no object"):
        finished(applied, config, failed)
    vertex.buckets.write_csv(TARGET, rows(50, 50, 80, 20))
    second = start_monitoring_run(applied, config, DAY).job_name
    assert second == f"{failed}-2"
    assert start_monitoring_run(applied, config, DAY).job_name == second
    assert finished(applied, config, second).drifted == ()


def test_distances_thresholds_and_contributors_are_those_of_the_data(
    applied: VertexConnection, config: MonitoringConfig
) -> None:
    result = finished(applied, config, start_monitoring_run(applied, config, DAY).job_name)
    description, kind = result.features
    assert (description.feature, kind.feature) == ("description", "type")
    assert description.distance == pytest.approx(0.4, abs=1e-12)
    assert kind.distance == pytest.approx(0.05, abs=1e-12)
    assert (description.metric, description.threshold) == ("l_infinity", 0.3)
    assert [(c.value, c.baseline_share, c.target_share) for c in description.contributors] == [
        ("Coop", 0.5, 0.9),
        ("Migros", 0.5, 0.1),
    ]
    assert (result.day, result.baseline_rows, result.target_rows) == (DAY, 100, 100)
    assert result.baseline_name == BASELINE
    assert [feature.feature for feature in result.drifted] == ["description"]
    (alert,) = result.alerts
    assert alert.startswith("description: The l_infinity distance 0.4 is above")


def test_a_numerical_feature_has_its_divergence_and_buckets(
    vertex: LoopbackVertex, connection: VertexConnection
) -> None:
    config = monitored_config(
        drift_thresholds={"amount": 0.1}, feature_types={"amount": "numerical"}
    )
    target = [{"amount": number % 10 if number % 2 else 9} for number in range(100)]
    vertex.buckets.write_csv(TARGET, target)
    apply_model_monitor(connection, config)
    (amount,) = finished(
        connection, config, start_monitoring_run(connection, config, DAY).job_name
    ).features
    assert amount.metric == "jensen_shannon_divergence"
    assert amount.distance is not None
    assert 0.1 < amount.distance < 1
    assert amount.contributors[0].change > 0


def test_without_anomaly_logging_nothing_reaches_the_topic(
    connection: VertexConnection, published: list[bytes]
) -> None:
    config = monitored_config(log_anomalies=False)
    apply_model_monitor(connection, config)
    result = finished(connection, config, start_monitoring_run(connection, config, DAY).job_name)
    assert result.drifted
    assert published == []


def test_without_the_monitor_the_step_before_is_named(
    connection: VertexConnection, config: MonitoringConfig
) -> None:
    with pytest.raises(PlatformError, match="materialize model_monitor first"):
        start_monitoring_run(connection, config, DAY)


def test_a_slow_job_is_looked_at_without_waiting(
    vertex: LoopbackVertex, applied: VertexConnection, config: MonitoringConfig
) -> None:
    vertex.monitoring.job_looks = 3
    job_name = start_monitoring_run(applied, config, DAY).job_name
    assert job_name.startswith("projects/af-finanzen/locations/europe-west6/modelMonitors/")
    looks = [VertexMonitoringJobs(applied).monitoring_result(config, job_name) for _ in range(3)]
    assert [look is None for look in looks] == [True, True, False]
