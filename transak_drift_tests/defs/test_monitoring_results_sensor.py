"""Ticks of the sensor of monitoring results, on a real instance and a loopback Vertex AI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import grpc
import pytest

from transak_drift.defs.drift_event_log import read_records
from transak_drift.defs.gcp_resources import GcpPlatformResource
from transak_drift.defs.keys import (
    DRIFT_EVENT,
    DRIFT_REPORT,
    JOB_NAME_METADATA,
    MONITORING_RUN,
    ModelNames,
)
from transak_drift.defs.monitoring import monitoring_definitions
from transak_drift.defs.monitoring_results_sensor import (
    PollBounds,
    build_monitoring_results_sensor,
)
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift.trigger.pending_jobs import PendingJobs
from transak_drift_tests.defs.sensor_ticks import SensorTicks
from transak_drift_tests.servers.clients import QUICK_LIMITS, monitored_config, rows
from transak_drift_tests.servers.server import LoopbackVertex
from transak_drift_tests.windows import day_window

NAMES = ModelNames()
REPORT = NAMES.asset(DRIFT_REPORT)

FIRST_DAY = date(2026, 5, 1)
TWO_DAYS = (FIRST_DAY, FIRST_DAY + timedelta(days=1))
NEVER = 1_000_000


class Watch(SensorTicks):
    """The assets and the sensor of one model, with the sensor's memory."""

    def __init__(self, vertex: LoopbackVertex, instance: dg.DagsterInstance) -> None:
        self.config = monitored_config()
        self.vertex = vertex
        self.platform = GcpPlatformResource(vertex_endpoint=vertex.endpoint)
        bounds = PollBounds(listing_interval=timedelta(0))
        sensor = build_monitoring_results_sensor(self.config, 1, bounds)
        super().__init__(instance, sensor, {"platform": self.platform})
        self.platform.open(self.config).apply_model_monitor(self.config)

    def start(self, *days: date, drifted: bool = False) -> None:
        """Start the jobs of days, as `monitoring_run` does and anybody else may."""
        for day in days:
            self.write_predictions(day, drifted=drifted)
            self.platform.open(self.config).start_monitoring_run(self.config, day_window(day))

    def finish(self, *days: date) -> None:
        """Let the jobs of days end."""
        for job in self.vertex.monitoring.jobs():
            if any(f"/day-{day:%Y%m%d}-" in job.name for day in days):
                self.vertex.monitoring.finish_at_next_look(job.name)

    def materialize(self, day: date, *, drifted: bool = False) -> None:
        """Run `monitoring_run` and `drift_report` of a day, as the daily job does."""
        self.write_predictions(day, drifted=drifted)
        kinds = {"data": {"bigquery"}, "monitoring": {"vertexai"}}
        assets = monitoring_definitions(self.config, kinds).assets or []
        outcome = dg.materialize(
            [item for item in assets if isinstance(item, dg.AssetsDefinition)],
            selection=[NAMES.asset(MONITORING_RUN), REPORT],
            resources=self.resources,
            instance=self.instance,
            partition_key=str(day),
        )
        assert outcome.success

    def write_predictions(self, day: date, *, drifted: bool) -> None:
        path = f"gs://transak-i1/predictions/{day}.csv"
        self.vertex.buckets.write_csv(path, rows(90 if drifted else 50, 50))

    def waiting(self) -> list[str]:
        """The awaited days, by the ids of their jobs."""
        keys = PendingJobs.read(self.cursor).pending
        return [str(date.fromisoformat(key.split("/day-")[1][:8])) for key in keys]

    def reports(self, day: date) -> list[dict[str, Any]]:
        chosen = dg.AssetRecordsFilter(asset_key=REPORT, asset_partitions=[str(day)])
        records = self.instance.fetch_materializations(chosen, limit=50).records
        found = [record.asset_materialization for record in records]
        return [dict(item.metadata) for item in found if item is not None]

    def drift(self) -> list[TriggerRecord]:
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record for _, records in found for record in records]


def checks_of(result: dg.SensorResult) -> list[dg.AssetCheckEvaluation]:
    return [item for item in result.asset_events if isinstance(item, dg.AssetCheckEvaluation)]


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LoopbackVertex]:
    with LoopbackVertex(tmp_path / "buckets") as server:
        server.models.upload("transak-i1-train-model")
        server.buckets.write_csv("gs://transak-i1/training/1.csv", rows(50, 50))
        server.monitoring.looks = NEVER
        yield server


@pytest.fixture
def watch(vertex: LoopbackVertex, instance: dg.DagsterInstance) -> Watch:
    return Watch(vertex, instance)


@pytest.mark.parametrize("cursor", ["kept", "lost", "died before it was stored"])
def test_a_job_is_watched_until_it_ends_and_reported_once_with_its_drift(
    watch: Watch, cursor: str
) -> None:
    watch.start(FIRST_DAY, drifted=True)
    assert watch.tick().asset_events == []
    assert watch.waiting() == [str(FIRST_DAY)]
    before = watch.cursor
    watch.finish(FIRST_DAY)
    result = watch.tick()
    if cursor != "kept":
        watch.cursor = None if cursor == "lost" else before
    watch.tick()
    assert watch.waiting() == []
    (report,) = watch.reports(FIRST_DAY)
    assert report["verdict"].value == "drift in description"
    checks = checks_of(result)
    assert [(item.check_name, item.passed, item.severity) for item in checks] == [
        ("description_drift", False, dg.AssetCheckSeverity.WARN),
        ("type_drift", True, dg.AssetCheckSeverity.WARN),
        ("missing_values", True, dg.AssetCheckSeverity.WARN),
        ("unseen_values", True, dg.AssetCheckSeverity.WARN),
        ("row_count", True, dg.AssetCheckSeverity.WARN),
        ("column_types", True, dg.AssetCheckSeverity.WARN),
    ]
    assert (checks[0].description or "").startswith("0.4000 > 0.3: ")

    [record] = watch.drift()
    assert (record.kind, record.messages) == (OutcomeKind.DRIFT, 0)
    assert record.event is not None
    assert record.event.summary() == "description 0.4000 > 0.3"
    assert record.event.window_end.date() == TWO_DAYS[1]


def test_what_is_wrong_with_the_data_warns_by_the_reported_statistics(
    vertex: LoopbackVertex, watch: Watch
) -> None:
    watch.start(FIRST_DAY)
    path = f"gs://transak-i1/predictions/{FIRST_DAY}.csv"
    faulty: list[dict[str, object]] = [
        row | ({"type": None} if n % 5 < 2 else {}) | ({"description": "Aldi"} if n > 79 else {})
        for n, row in enumerate(rows(50, 50))
    ]
    vertex.buckets.write_csv(path, faulty)
    watch.finish(FIRST_DAY)
    checks = {item.check_name: item for item in checks_of(watch.tick())}
    (report,) = watch.reports(FIRST_DAY)
    assert report["data quality"].value == "missing_values, unseen_values"
    assert "type: 40.0% of values missing, 0.0% in" in (checks["missing_values"].description or "")
    unseen = checks["unseen_values"]
    assert "description: 20.0% of values not in the baseline" in (unseen.description or "")
    assert (unseen.severity, unseen.partition) == (dg.AssetCheckSeverity.WARN, str(FIRST_DAY))
    assert checks["row_count"].passed and checks["column_types"].passed
    assert watch.drift() == []


def test_the_report_is_the_one_that_the_asset_records(vertex: LoopbackVertex, watch: Watch) -> None:
    vertex.monitoring.looks = 1
    watch.materialize(FIRST_DAY, drifted=True)
    (by_asset,) = watch.reports(FIRST_DAY)
    watch.tick()
    assert len(watch.reports(FIRST_DAY)) == 1, "the asset's own report is not repeated"
    watch.instance.wipe_assets([REPORT])
    watch.cursor = None
    watch.tick()
    (by_sensor,) = watch.reports(FIRST_DAY)
    for report in (by_sensor, by_asset):
        # The project stands in it by its id or by its number.
        report[JOB_NAME_METADATA] = str(report[JOB_NAME_METADATA].value).partition("/locations")[2]
    assert by_sensor == by_asset


def test_the_run_of_an_unfinished_job_succeeds_without_a_report(watch: Watch) -> None:
    watch.materialize(FIRST_DAY)
    assert watch.reports(FIRST_DAY) == []
    watch.tick()
    assert watch.waiting() == [str(FIRST_DAY)]


def test_many_jobs_in_flight_are_looked_at_in_turn(vertex: LoopbackVertex, watch: Watch) -> None:
    watch.sensor = build_monitoring_results_sensor(watch.config, 1, PollBounds(reads=2))
    days = [FIRST_DAY + timedelta(days=number) for number in range(3)]
    watch.start(*days)
    vertex.calls.clear()
    for _ in range(2):
        watch.tick()
        assert len(vertex.requests("GetModelMonitoringJob")) == 2, "its bound, in turn"
        vertex.calls.clear()
    assert sorted(watch.waiting()) == [str(day) for day in days]
    watch.finish(*days)
    for _ in range(2):
        watch.tick()
    assert watch.waiting() == []
    assert all(len(watch.reports(day)) == 1 for day in days)


def test_a_failed_job_is_recorded_with_its_reason_and_left(
    vertex: LoopbackVertex, watch: Watch
) -> None:
    watch.start(FIRST_DAY)
    vertex.buckets.path(f"gs://transak-i1/predictions/{FIRST_DAY}.csv").unlink()
    watch.finish(FIRST_DAY)
    result = watch.tick()
    observation, *_ = result.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.partition == str(FIRST_DAY)
    assert "matches no object" in (observation.description or "")
    assert [item.passed for item in checks_of(result)] == [False, False]
    assert watch.waiting() == watch.reports(FIRST_DAY) == []
    # The day started again is another job, and that one is watched.
    watch.start(FIRST_DAY)
    watch.finish(FIRST_DAY)
    again = checks_of(watch.tick())
    assert len(watch.reports(FIRST_DAY)) == 1
    # Of a day Dagster takes one evaluation outside of runs.
    of_drift = [(item.passed, item.partition) for item in again[:2]]
    assert of_drift == [(True, None)] * 2
    assert all(item.passed and item.partition == str(FIRST_DAY) for item in again[2:])
    assert str(FIRST_DAY) in (again[0].description or "")


def test_what_cannot_be_read_is_told_and_an_outage_loses_nothing(
    vertex: LoopbackVertex, watch: Watch
) -> None:
    watch.start(*TWO_DAYS)
    watch.finish(*TWO_DAYS)
    vertex.faults.refuse("GetModelMonitoringJob", grpc.StatusCode.UNAVAILABLE, 1_000)
    own = watch.platform.connect(watch.config)
    patient, own.limits = own.limits, replace(QUICK_LIMITS, total_seconds=0.1)
    assert "in time" in str(watch.tick().skip_reason)
    assert sorted(watch.waiting()) == [str(day) for day in TWO_DAYS]
    own.limits = patient
    vertex.faults.clear("GetModelMonitoringJob")
    # One job that is refused holds up no other.
    denied = "Permission 'aiplatform.modelMonitoringJobs.get' denied on resource '//x/y'."
    code = grpc.StatusCode.PERMISSION_DENIED
    vertex.faults.refuse("GetModelMonitoringJob", code, 1, denied)
    assert "roles/aiplatform.viewer" in str(watch.tick().skip_reason)
    assert len(watch.waiting()) == 1
    watch.tick()
    assert [len(watch.reports(day)) for day in TWO_DAYS] == [1, 1]


def test_a_job_that_never_ends_is_given_up_visibly(watch: Watch) -> None:
    bounds = PollBounds(max_wait=timedelta(0))
    watch.sensor = build_monitoring_results_sensor(watch.config, 1, bounds)
    watch.start(FIRST_DAY)
    (observation, *_) = watch.tick().asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert "awaited no longer: the job did not end" in (observation.description or "")
    assert watch.waiting() == []


def test_a_report_has_its_jobs_thresholds_and_no_drift_enters_where_a_function_trains(
    watch: Watch,
) -> None:
    watch.start(FIRST_DAY, drifted=True)
    watch.finish(FIRST_DAY)
    config = monitored_config(drift_thresholds={"type": 0.3})
    watch.sensor = build_monitoring_results_sensor(config, 1, triggers=False)
    checks = checks_of(watch.tick())
    (report,) = watch.reports(FIRST_DAY)
    assert report["verdict"].value == "drift in description"
    assert report["description threshold"].value == 0.3
    assert [item.check_name for item in checks if "drift" in item.check_name] == ["type_drift"]
    assert watch.drift() == []
