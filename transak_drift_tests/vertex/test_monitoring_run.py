"""A day's monitoring job: what is asked for, that it is started once, and what it found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from transak_drift.platform import MonitoringRunFailedError, PlatformError
from transak_drift_tests.servers.clients import monitored_config, rows
from transak_drift_tests.vertex.conftest import CONFIG, TARGET, WINDOW, Cloud, described
from transak_drift_tests.windows import day_window


def of_bigquery(table: str, **columnized: str) -> dict[str, Any]:
    return {"columnized_dataset": {"bigquery_source": {"table_uri": table}, **columnized}}


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


def test_the_newest_finished_batch_prediction_is_the_target_dataset(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    for number, state in enumerate(
        ["JOB_STATE_SUCCEEDED", "JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_RUNNING"]
    ):
        cloud.batch_predictions.add("predictions-2026-05-01", f"gs://transak-i1/b{number}", state)
    cloud.batch_predictions.add("predictions-2026-05-02", "gs://transak-i1/other")
    cloud.buckets.write_csv("gs://transak-i1/b1/part-0.csv", rows(50, 80))
    config = monitored_config(
        vertex={"prediction_dataset": "batchPredictionJobs/predictions-{date}"}
    )
    job_name = cloud.platform.start_monitoring_run(config, WINDOW).job_name
    (request,) = cloud.requests("CreateModelMonitoringJob")
    target = request.model_monitoring_job.model_monitoring_spec.objective_spec.target_dataset
    assert target.batch_prediction_output.batch_prediction_job.endswith("batchPredictionJobs/7002")
    result = cloud.platform.monitoring_result(config, job_name)
    assert result is not None
    assert [feature.distance for feature in result.features] == [0.0, 0.0]


def test_without_a_finished_batch_prediction_the_states_are_told(cloud: Cloud) -> None:
    cloud.platform.apply_model_monitor(CONFIG)
    config = monitored_config(vertex={"prediction_dataset": "batchPredictionJobs/p-{date}"})
    with pytest.raises(PlatformError, match=r"'p-2026-05-01'.*there is none of that name"):
        cloud.platform.start_monitoring_run(config, WINDOW)
    cloud.batch_predictions.add("p-2026-05-01", "gs://transak-i1/x", "JOB_STATE_RUNNING")
    with pytest.raises(PlatformError, match=r"those of that name are JOB_STATE_RUNNING"):
        cloud.platform.start_monitoring_run(config, WINDOW)


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
