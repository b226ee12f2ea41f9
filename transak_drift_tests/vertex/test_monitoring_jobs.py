"""Jobs that anybody may have started: what they found, in which window, by which thresholds."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from google.cloud.aiplatform_v1beta1 import types
from google.type import interval_pb2
from hypothesis import given
from hypothesis import strategies as st

from transak_drift.config.monitoring_window import WindowCalendar
from transak_drift.drift.chance import distance_by_chance
from transak_drift.drift.monitoring_job import JobState, MonitoringJob
from transak_drift.drift.monitoring_result import MonitoringResult
from transak_drift.platform import PlatformError
from transak_drift.vertex.monitoring_jobs import window_of
from transak_drift_tests.drift.datasets import numerical
from transak_drift_tests.servers.clients import csv_dataset, monitored_config, rows
from transak_drift_tests.vertex.conftest import BASELINE, CONFIG, LONG_AGO, MODEL, TARGET, Cloud
from transak_drift_tests.windows import day_window


def interval(start: datetime, end: datetime) -> interval_pb2.Interval:
    made = interval_pb2.Interval()
    made.start_time.FromDatetime(start)
    made.end_time.FromDatetime(end)
    return made


@pytest.fixture
def cloud(cloud: Cloud) -> Cloud:
    """A server with a monitor that somebody made by hand, with default conditions alone."""
    drift = {
        "categorical_metric_type": "l_infinity",
        "numeric_metric_type": "jensen_shannon_divergence",
        "default_categorical_alert_condition": {"threshold": 0.25},
        "default_numeric_alert_condition": {"threshold": 0.5},
        "feature_alert_conditions": {"type": {"threshold": 0.1}},
    }
    fields = [
        {"name": "description", "data_type": "string"},
        {"name": "type", "data_type": "string"},
        {"name": "amount", "data_type": "integer"},
    ]
    cloud.monitoring.put_monitor(
        MODEL,
        training_dataset=csv_dataset(BASELINE),
        tabular_objective={"feature_drift_spec": drift},
        model_monitoring_schema={"feature_fields": fields},
    )
    return cloud


def put(cloud: Cloud, **options: Any) -> str:
    """Start a job that carries its target alone, as the SDK does."""
    target = {**csv_dataset(TARGET), **options.pop("target", {})}
    return cloud.monitoring.put_job(cloud.monitoring.monitors()[0].name, target, **options)


def read(cloud: Cloud, name: str) -> MonitoringJob:
    return cloud.platform.read_monitoring_job(CONFIG, *name.split("/")[5::2])


def result_of(cloud: Cloud, name: str) -> MonitoringResult:
    result = read(cloud, name).result
    assert result is not None
    return result


def test_a_job_that_carries_its_target_alone_is_read_whole(cloud: Cloud) -> None:
    name = put(cloud)
    job = read(cloud, name)
    assert job.state == JobState.SUCCEEDED
    assert job.name == name.replace("projects/123456789012/", "projects/af-finanzen/")
    result = job.result
    assert result is not None
    assert [(f.feature, f.distance, f.threshold, f.metric) for f in result.features] == [
        ("description", pytest.approx(0.4), 0.25, "l_infinity"),
        ("type", pytest.approx(0.05), 0.1, "l_infinity"),
        ("amount", 0.0, 0.5, "jensen_shannon_divergence"),
    ]
    contributors = result.features[0].contributors
    assert [(c.value, c.baseline_share, c.target_share) for c in contributors] == [
        ("Coop", 0.5, 0.9),
        ("Migros", 0.5, 0.1),
    ]
    assert (result.baseline_name, result.baseline_rows, result.target_rows) == (BASELINE, 100, 100)
    assert "Vertex AI" in result.method
    assert result.alerts[0].startswith("description: The l_infinity distance 0.4 is above")
    # The monitor may have followed the model to other data since.
    cloud.monitoring.monitors()[0].training_dataset = types.ModelMonitoringInput(
        csv_dataset("gs://transak-i1/later.csv")
    )
    assert cloud.platform.monitoring_result(CONFIG, name) == result


def test_the_jobs_own_conditions_go_before_the_monitors(cloud: Cloud) -> None:
    drift = {
        "features": ["description", "type"],
        "categorical_metric_type": "l_infinity",
        "default_categorical_alert_condition": {"threshold": 0.45},
        "feature_alert_conditions": {"type": {"threshold": 0.0}},
    }
    name = put(cloud, tabular_objective={"feature_drift_spec": drift})
    result = result_of(cloud, name)
    assert {f.feature: f.threshold for f in result.features} == {"description": 0.45, "type": 0.0}
    assert [f.feature for f in result.features if f.is_above_threshold] == ["type"]


def test_what_comes_by_chance_is_told_by_the_reported_distributions(cloud: Cloud) -> None:
    random = np.random.default_rng(7)
    amounts = random.lognormal(3, 1.2, size=2_000).round(2).tolist()
    known = [{"description": f"{n % 2}", "type": "a", "amount": x} for n, x in enumerate(amounts)]
    cloud.buckets.write_csv(BASELINE, known)
    # Of 20 rows, 14 have one of two equally frequent descriptions.
    found = [{"description": str(int(n < 14)), "type": "a", "amount": 20} for n in range(20)]
    cloud.buckets.write_csv(TARGET, found)
    drift = {
        "features": ["description", "type", "amount"],
        "default_categorical_alert_condition": {"threshold": 0.1},
        "default_numeric_alert_condition": {"threshold": 0.1},
    }
    result = result_of(cloud, put(cloud, tabular_objective={"feature_drift_spec": drift}))
    description, kind, amount = result.features
    assert (description.distance, description.by_chance) == pytest.approx((0.2, 0.2))
    assert (description.verdict, result.drifted) == ("by chance", (amount,))
    assert kind.by_chance == 0
    # The histograms tell of most of what the rows would.
    exact = distance_by_chance(numerical(amounts), 20)
    assert amount.by_chance == pytest.approx(exact, rel=0.05)


def test_without_statistics_features_and_thresholds_are_the_monitors(cloud: Cloud) -> None:
    name = put(cloud)
    read(cloud, name)
    cloud.monitoring.analyses[name] = []
    result = result_of(cloud, name)
    assert {f.feature: f.threshold for f in result.features} == {
        "description": 0.25,
        "type": 0.1,
        "amount": 0.25,
    }
    assert {f.distance for f in result.features} == {None}
    assert result.features[0].note == "Vertex AI reports no statistics of description"


@pytest.mark.parametrize("has_statistics", [True, False])
def test_a_distance_that_is_none_is_noted(cloud: Cloud, has_statistics: bool) -> None:
    name = put(cloud)
    read(cloud, name)
    (found,) = [a for a in cloud.monitoring.analyses[name] if a.name == "description"]
    expected = {1.0: 1.0, 1.0000000000000002: 1.0}
    for reported in (*expected, 1.01, -0.1, math.nan, math.inf):
        # Without statistics only the alert's number is known.
        cloud.monitoring.analyses[name] = [
            replace(found, distance=reported, threshold=-1.0, has_statistics=has_statistics)
        ]
        feature = result_of(cloud, name).features[0]
        assert (feature.feature, feature.distance) == ("description", expected.get(reported))
        assert (feature.note == "") == (feature.distance is not None)


NO_DAYS = {"prediction_dataset": None}
MAY_1, MAY_3 = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 3, tzinfo=UTC)
SCHEDULED = datetime(2026, 5, 3, 6, tzinfo=UTC)


@pytest.mark.parametrize("tells_time_range", [True, False])
@pytest.mark.parametrize(
    ("target", "options", "day", "window"),
    [
        (
            {
                "columnized_dataset": {
                    "bigquery_source": {"table_uri": "bq://af-finanzen.transak.predictions"},
                    "timestamp_field": "moment",
                },
                "time_interval": interval(MAY_1, MAY_3),
            },
            {"schedule_time": SCHEDULED},
            date(2026, 5, 2),
            (MAY_1, MAY_3),
        ),
        ({}, {"schedule_time": SCHEDULED}, date(2026, 5, 3), (None, SCHEDULED)),
        (
            {},
            {"job_id": "day-20260501-0123456789ab"},
            date(2026, 5, 1),
            (MAY_1, MAY_1 + timedelta(days=1)),
        ),
    ],
    ids=["asked for", "scheduled", "of our own"],
)
def test_the_window_is_the_most_certain_one(
    cloud: Cloud,
    tells_time_range: bool,
    target: dict[str, Any],
    options: dict[str, Any],
    day: date,
    window: tuple[datetime | None, datetime],
) -> None:
    cloud.monitoring.tells_time_range = tells_time_range
    moments = [{**row, "moment": "2026-05-02 10:00:00"} for row in rows(50, 80)]
    cloud.tables.insert("af-finanzen.transak.predictions", moments)
    result = result_of(cloud, put(cloud, target=target, **options))
    assert (result.window, result.interval) == (day_window(day), window)


def test_the_month_of_a_query_is_the_one_in_our_id(cloud: Cloud) -> None:
    cloud.tables.insert("af-finanzen.transak.months", rows(50, 80))
    query = "SELECT * FROM `af-finanzen.transak.months`"
    target = {"columnized_dataset": {"bigquery_source": {"query": query}}}
    name = put(cloud, target=target, job_id="month-202604-0123456789ab")
    config = monitored_config(monitoring_window="month", time_zone="Europe/Zurich", vertex=NO_DAYS)
    result = cloud.platform.read_monitoring_job(config, *name.split("/")[5::2]).result
    assert result is not None
    assert (result.window.key, result.target_rows) == ("2026-04", 100)
    april = datetime(2026, 3, 31, 22, tzinfo=UTC), datetime(2026, 4, 30, 22, tzinfo=UTC)
    assert result.interval == april


def test_without_any_time_the_window_ends_with_the_jobs_creation(cloud: Cloud) -> None:
    result = result_of(cloud, put(cloud))
    (job,) = cloud.monitoring.jobs()
    assert result.interval == (None, job.create_time)


@given(
    seconds=st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2)
    | st.sampled_from([(-62_135_596_800, -62_135_596_800), (0, 253_402_300_799)]),
    job_id=st.sampled_from(["1", "day-99991231-0123456789ab", "day-00010101-0123456789ab"]),
)
def test_no_time_that_a_job_tells_poisons_its_window(seconds: tuple[int, int], job_id: str) -> None:
    created = datetime(2026, 5, 3, 6, tzinfo=UTC)
    told = interval_pb2.Interval()
    told.start_time.seconds, told.end_time.seconds = seconds
    job = types.ModelMonitoringJob(
        name=f"{MODEL}/modelMonitoringJobs/{job_id}",
        create_time=created,
        job_execution_detail={"target_datasets": [{"time_range": told}]},
    )
    window, start, end = window_of(job, WindowCalendar())
    assert LONG_AGO.date() <= window.first_day <= created.date() + timedelta(days=2)
    assert end is None or LONG_AGO < end <= created + timedelta(days=2)
    assert start is None or (end is not None and LONG_AGO <= start < end)


def test_each_state_of_a_job(cloud: Cloud) -> None:
    name = put(cloud)
    read(cloud, name)
    (job,) = cloud.monitoring.jobs()
    job.job_execution_detail.error.message = "The column type is missing."
    for state, expected in {
        types.JobState.JOB_STATE_FAILED: JobState.FAILED,
        types.JobState.JOB_STATE_CANCELLED: JobState.FAILED,
        types.JobState.JOB_STATE_EXPIRED: JobState.FAILED,
        types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED: JobState.SUCCEEDED,
        types.JobState.JOB_STATE_PENDING: JobState.UNFINISHED,
        types.JobState.JOB_STATE_PAUSED: JobState.UNFINISHED,
    }.items():
        job.state = state
        found = read(cloud, name)
        assert found.state == expected
        assert ("The column type is missing." in found.detail) == (expected == JobState.FAILED)
        assert (found.result is not None) == (expected == JobState.SUCCEEDED)
        if found.result is not None:
            note = "the job succeeded only in part: The column type is missing."
            assert found.result.alerts[-1] == note
        (listed,) = cloud.platform.list_monitoring_jobs(CONFIG, LONG_AGO)
        assert listed.has_ended == (expected != JobState.UNFINISHED)


def test_a_deleted_job_is_missing_and_a_refusal_is_none(cloud: Cloud) -> None:
    name = put(cloud)
    denied = grpc.StatusCode.PERMISSION_DENIED
    cloud.faults.refuse("SearchModelMonitoringStats", denied, times=1)
    with pytest.raises(
        PlatformError, match=r"searchModelMonitoringStats .*roles/aiplatform\.viewer"
    ):
        read(cloud, name)
    cloud.monitoring.delete_job(name)
    assert read(cloud, name).state == JobState.MISSING
    with pytest.raises(PlatformError, match="was not found"):
        cloud.platform.monitoring_result(CONFIG, name)


def test_every_job_of_every_monitor_is_listed_oldest_first(cloud: Cloud) -> None:
    cloud.monitoring.put_monitor(MODEL, "2")
    cloud.monitoring.looks = 1_000
    names = []
    for number in range(8):
        monitor = cloud.monitoring.monitors()[number % 2]
        names.append(cloud.monitoring.put_job(monitor.name, csv_dataset(TARGET)))
        cloud.monitoring.jobs()[-1].create_time = LONG_AGO + timedelta(days=number)
    listed = cloud.platform.list_monitoring_jobs(CONFIG, LONG_AGO + timedelta(days=1))
    assert [job.monitoring_job_id for job in listed] == [n.rpartition("/")[2] for n in names[1:]]
    assert {job.has_ended for job in listed} == {False}


def test_jobs_from_when_other_windows_were_set_are_not_listed(cloud: Cloud) -> None:
    digest = "0123456789ab"
    ids = [f"day-20260824-{digest}", f"week-20260824-{digest}", f"month-202608-{digest}-2", "run-7"]
    for job_id in ids:
        put(cloud, job_id=job_id)
    config = CONFIG.model_copy(update={"monitoring_window": "month"})
    listed = cloud.platform.list_monitoring_jobs(config, LONG_AGO)
    assert [job.monitoring_job_id for job in listed] == ids[2:]


def test_only_the_configured_project_and_location_are_called(cloud: Cloud) -> None:
    config = monitored_config(project_number=None)
    name = put(cloud)
    elsewhere = name.replace("projects/123456789012", "projects/another").replace("west6", "north1")
    cloud.platform.list_monitoring_jobs(config, LONG_AGO)
    assert cloud.platform.monitoring_result(config, elsewhere) is not None
    for call in cloud.calls:
        for field in ("parent", "name", "model_monitor"):
            called = getattr(call.request, field, "")
            assert not called or called.startswith("projects/af-finanzen/locations/europe-west6")
