"""A day's monitoring job: what is asked for, that it is started once, and what it found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift_tests.servers.clients import csv_dataset, monitored_config, rows
from transak_drift_tests.servers.grpc_server import RefusedError
from transak_drift_tests.vertex.conftest import CONFIG, TARGET, WINDOW, Cloud, described
from transak_drift_tests.windows import day_window


def of_bigquery(table: str, **columnized: str) -> dict[str, Any]:
    return {"columnized_dataset": {"bigquery_source": {"table_uri": table}, **columnized}}


def of_query(query: str) -> dict[str, Any]:
    return {"columnized_dataset": {"bigquery_source": {"query": query}}}


MAY_1 = {"start_time": "2026-05-01T00:00:00Z", "end_time": "2026-05-02T00:00:00Z"}
TABLE = "bq://af-finanzen.transak.predictions"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (TABLE, {**of_bigquery(TABLE, timestamp_field="date"), "time_interval": MAY_1}),
        (TABLE + "_{date:%Y%m%d}", of_bigquery(f"{TABLE}_20260501")),
        (
            "gs://transak-i1/{date}/*.jsonl",
            {
                "columnized_dataset": {
                    "gcs_source": {
                        "gcs_uri": "gs://transak-i1/2026-05-01/*.jsonl",
                        "format_": "JSONL",
                    }
                }
            },
        ),
    ],
)
def test_each_place_of_predictions_becomes_the_target_dataset(
    cloud: Cloud, address: str, expected: dict[str, Any]
) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    cloud.platform.start_monitoring_run(
        monitored_config(vertex={"prediction_dataset": address}), WINDOW
    )
    (request,) = cloud.requests("CreateModelMonitoringJob")
    dataset = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    assert described(dataset) == expected


MONTH = WindowCalendar("month").parse("2026-05")
MONTHLY = "SELECT type FROM `af-finanzen.t.p`\nWHERE month = {yyyymm} -- ok"
IN_ZURICH = {"start_time": "2026-04-30T22:00:00Z", "end_time": "2026-05-31T22:00:00Z"}


@pytest.mark.parametrize(
    ("vertex", "changes", "expected"),
    [
        (
            {"prediction_query": MONTHLY, "prediction_dataset": None},
            {},
            of_query("SELECT type FROM `af-finanzen.t.p`\nWHERE month = 202605 -- ok"),
        ),
        (
            {"prediction_dataset": TABLE},
            {"date_column": "month", "date_column_format": "yyyymm"},
            of_query("SELECT * FROM `af-finanzen.transak.predictions` WHERE `month` = 202605"),
        ),
        (
            {"prediction_dataset": TABLE},
            {"time_zone": "Europe/Zurich"},
            {**of_bigquery(TABLE, timestamp_field="date"), "time_interval": IN_ZURICH},
        ),
        ({"prediction_dataset": TABLE + "_{yyyymm}"}, {}, of_bigquery(f"{TABLE}_202605")),
    ],
)
def test_a_months_data_are_asked_for_by_query_interval_or_address(
    cloud: Cloud, vertex: dict[str, Any], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    config = monitored_config(vertex=vertex, monitoring_window="month", **changes)
    name = cloud.platform.start_monitoring_run(config, MONTH).job_name
    assert name.rpartition("/")[2].startswith("month-202605-")
    (request,) = cloud.requests("CreateModelMonitoringJob")
    dataset = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    assert described(dataset) == expected


def test_a_column_that_cannot_be_quoted_reaches_no_query(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    for column in ("a` OR TRUE --", "a\\"):
        config = monitored_config(vertex={"prediction_dataset": TABLE}, date_column=column)
        with pytest.raises(PlatformError, match=r"date_column: .* is no name in BigQuery"):
            cloud.platform.start_monitoring_run(config, WINDOW)
    assert cloud.requests("CreateModelMonitoringJob") == []


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({**csv_dataset(TARGET), "time_interval": {}}, "for BigQuery and endpoint logs only"),
        ({**of_query("SELECT 1"), "time_interval": {}}, "needs timestamp_field"),
        ({"columnized_dataset": {"bigquery_source": {}}}, "is no table, and there is no query"),
    ],
)
def test_the_server_refuses_what_vertex_ai_does_not_take(
    cloud: Cloud, target: dict[str, Any], told: str
) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    (monitor,) = cloud.monitoring.monitors()
    with pytest.raises(RefusedError, match=told):
        cloud.monitoring.put_job(monitor.name, types.ModelMonitoringInput(target))


def test_the_newest_batch_prediction_that_is_good_is_the_target_though_it_still_runs(
    cloud: Cloud,
) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    states = ["SUCCEEDED", "FAILED", "SUCCEEDED", "RUNNING", "FAILED", "CANCELLED", "EXPIRED"]
    jobs = [
        cloud.batch_predictions.add("predictions-2026-05-01", f"gs://transak-i1/b{n}", state)
        for n, state in enumerate(f"JOB_STATE_{state}" for state in states)
    ]
    cloud.batch_predictions.add("predictions-2026-05-02", "gs://transak-i1/other")
    cloud.buckets.write_csv("gs://transak-i1/b3/part-0.csv", rows(50, 80))
    config = monitored_config(
        vertex={"prediction_dataset": "batchPredictionJobs/predictions-{first_day}"}
    )
    job_name = cloud.platform.start_monitoring_run(config, WINDOW).job_name
    (request,) = cloud.requests("CreateModelMonitoringJob")
    target = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    assert target.batch_prediction_output.batch_prediction_job == jobs[3].name
    assert cloud.platform.monitoring_result(config, job_name) is None
    jobs[3].state = types.JobState.JOB_STATE_SUCCEEDED
    result = cloud.platform.monitoring_result(config, job_name)
    assert result is not None
    assert [feature.distance for feature in result.features] == [0.0, 0.0]


def test_without_a_good_batch_prediction_the_reason_is_told(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p-{date}"})
    with pytest.raises(PlatformError, match=r"there is no .* named 'p-2026-05-01'"):
        cloud.platform.start_monitoring_run(config, WINDOW)
    for state in ("JOB_STATE_CANCELLED", "JOB_STATE_FAILED"):
        job = cloud.batch_predictions.add("p-2026-05-01", "gs://transak-i1/x", state)
    job.error.message = "Out of quota."
    told = r"newest of 2, .*7002, ended as JOB_STATE_FAILED: Out of quota\.; run the predictions"
    with pytest.raises(PlatformError, match=told):
        cloud.platform.start_monitoring_run(config, WINDOW)


def test_of_a_name_that_all_windows_have_no_later_batch_prediction_is_taken(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p"})
    after = day_window(WINDOW.first_day + timedelta(days=1))
    first, second = [cloud.batch_predictions.add("p", "gs://transak-i1/x") for _ in range(2)]
    first.create_time = datetime(2026, 5, 2, 6, tzinfo=UTC)
    second.create_time = datetime(2026, 5, 3, 6, tzinfo=UTC)
    found = [cloud.platform.predict(config, window).dataset.uri for window in (WINDOW, after)]
    assert found == [first.name, second.name]
    with pytest.raises(PlatformError, match=r"none is of 2026-04-30; tell windows apart"):
        cloud.platform.predict(config, day_window(date(2026, 4, 30)))


def test_the_same_day_started_again_is_the_same_job(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)

    def start(_: int) -> str:
        return cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1
    assert len(cloud.monitoring.jobs()) == 1


def test_another_day_threshold_or_baseline_is_another_job(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    changed = monitored_config(drift_thresholds={"description": 0.2, "type": 0.3})
    names = [
        cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name,
        cloud.platform.start_monitoring_run(CONFIG, day_window(date(2026, 5, 2))).job_name,
        cloud.platform.start_monitoring_run(changed, WINDOW).job_name,
    ]
    cloud.promote()
    cloud.platform.apply_model_monitor(CONFIG)
    names.append(cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name)
    assert len(set(names)) == 4


def test_only_a_failed_job_is_followed_by_another(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    cloud.buckets.path(TARGET).unlink()
    failed = cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name
    with pytest.raises(MonitoringRunFailedError, match="matches no object"):
        cloud.platform.monitoring_result(CONFIG, failed)
    cloud.buckets.write_csv(TARGET, rows(50, 80))
    second = cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name
    assert second == f"{failed}-2"
    assert cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name == second
    result = cloud.platform.monitoring_result(CONFIG, second)
    assert result is not None
    assert result.drifted == ()


def test_a_numerical_feature_has_its_divergence_and_buckets(cloud: Cloud) -> None:
    config = monitored_config(
        drift_thresholds={"amount": 0.1}, feature_types={"amount": "numerical"}
    )
    target = [{"amount": number % 10 if number % 2 else 9} for number in range(100)]
    cloud.buckets.write_csv(TARGET, target)
    (amount,) = cloud.monitor_day(config).drifted
    assert amount.metric == "jensen_shannon_divergence"
    assert amount.contributors[0].change > 0


def test_without_the_monitor_the_step_before_is_named(cloud: Cloud) -> None:
    with pytest.raises(PlatformError, match="materialize model_monitor first"):
        cloud.platform.start_monitoring_run(CONFIG, WINDOW)


def test_a_slow_job_is_looked_at_without_waiting(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    cloud.monitoring.looks = 3
    job_name = cloud.platform.start_monitoring_run(CONFIG, WINDOW).job_name
    assert job_name.startswith("projects/af-finanzen/locations/europe-west6/modelMonitors/")
    looks = [cloud.platform.monitoring_result(CONFIG, job_name) for _ in range(3)]
    assert [look is None for look in looks] == [True, True, False]
