"""The whole loop on the gcp platform: real clients, real sensors, loopback servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import grpc
import pytest
from google.cloud.aiplatform_v1beta1 import types

from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DAILY_MONITORING_JOB,
    DRIFT_REPORT,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
)
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.end_to_end.gcp_loop import (
    DRIFT_DAY,
    NAMES,
    QUIET_DAY,
    RECOVERED_DAY,
    GcpLoop,
)
from transak_drift_tests.servers.api_rules import PROJECT_NUMBER
from transak_drift_tests.servers.server import Push, body, channel_message, log_entry


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcpLoop]:
    made = GcpLoop(tmp_path, monkeypatch)
    made.prepare()
    yield made
    made.close()


def test_the_loop_closes_with_a_daemon_and_every_message_at_once(loop: GcpLoop) -> None:
    vertex, config = loop.vertex, loop.config
    vertex.pushes = tuple(Push)
    # No job ends while the run that started it reads it, however often the sensor does meanwhile:
    # the run never waits, and the report comes from the sensor.
    vertex.monitoring.job_looks = 1_000_000

    def monitor(day: date) -> None:
        loop.run_job(DAILY_MONITORING_JOB, day)
        assert loop.newest(NAMES.asset(DRIFT_REPORT), day) is None
        vertex.monitoring.finish_at_next_look(vertex.monitoring.jobs()[-1].name)

    loop.run_job(PREPARE_JOB)
    monitor(DRIFT_DAY)
    loop.dagster.start_daemon()
    drift = loop.wait_for("report", lambda: loop.newest(NAMES.asset(DRIFT_REPORT), DRIFT_DAY))
    assert drift["verdict"] == "drift in type"
    loop.wait_for("finished training", loop.has_trained)
    trained = loop.newest(NAMES.asset(TRAINED_MODEL))
    assert trained is not None
    loop.wait_for("acknowledgement", loop.everything_is_acknowledged)

    monitor(RECOVERED_DAY)
    recovered = loop.wait_for(
        "report", lambda: loop.newest(NAMES.asset(DRIFT_REPORT), RECOVERED_DAY)
    )
    assert recovered["verdict"] == "no drift"

    assert (trained["champion before"], trained["champion after"]) == ("1", "2")
    assert (trained["promoted"], trained["adopted"]) == (True, False)
    # Two log entries and a message of the channel, one run, one PipelineJob.
    assert len(vertex.log) == 2
    runs = loop.instance.get_runs(dg.RunsFilter(job_name=RETRAIN_JOB))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
    assert len(vertex.pipelines.jobs()) == 1
    assert loop.newest(NAMES.asset(BASELINE_DATASET)) is not None
    assert loop.queue.list_dead_letters(10) == []

    run = loop.newest(NAMES.asset(MONITORING_RUN), DRIFT_DAY)
    assert run is not None
    assert run["monitoring job"] == drift["monitoring job"]
    history = loop.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(NAMES.asset(DRIFT_REPORT), "type_drift"), limit=10
    )
    states = [record.status.value for record in history]
    assert [state for state in states if state != "PLANNED"] == ["SUCCEEDED", "FAILED"]

    # What arrived carries exactly the configuration.
    (created,) = vertex.recorder.requests("CreateModelMonitor")
    jobs = vertex.recorder.requests("CreateModelMonitoringJob")
    assert len(jobs) == 2
    for spec in (
        created.model_monitor.tabular_objective.feature_drift_spec,
        *(
            job.model_monitoring_job.model_monitoring_spec.objective_spec.tabular_objective.feature_drift_spec
            for job in jobs
        ),
    ):
        assert list(spec.features) == ["description", "type"]
        thresholds = {name: item.threshold for name, item in spec.feature_alert_conditions.items()}
        assert thresholds == config.drift_thresholds
    notification = created.model_monitor.notification_spec
    assert notification.enable_cloud_logging
    updates = vertex.recorder.requests("UpdateModelMonitor")
    assert {path for update in updates for path in update.update_mask.paths} == {
        "model_monitoring_target",
        "training_dataset",
    }
    last = jobs[-1].model_monitoring_job.model_monitoring_spec.objective_spec
    baseline = last.baseline_dataset.columnized_dataset.gcs_source.gcs_uri
    assert baseline == "gs://transak-i1/training/2.csv"
    # No call without a deadline.
    assert all(call.deadline_seconds is not None for call in vertex.recorder.calls())


def key_of(job: types.ModelMonitoringJob) -> str:
    _, _, _, _, _, monitor_id, _, job_id = job.name.split("/")
    return f"{monitor_id}/{job_id}"


EVERYTHING = (
    *("ListModels", "ListModelMonitors", "GetModelMonitoringJob", "ListModelMonitoringJobs"),
)


def test_any_message_or_none_closes_the_loop_and_an_outage_loses_nothing(loop: GcpLoop) -> None:
    everyone = tuple(Push)
    for number, (pushes, refused) in enumerate(
        [
            ((Push.UNKNOWN_LOG_ENTRY,), ()),
            ((), ()),
            (everyone, EVERYTHING),
            (everyone, ("SearchModelMonitoringStats",)),
        ],
        start=1,
    ):
        loop.vertex.pushes = pushes
        # Each training makes its day the baseline: the next day drifts by being as before.
        day = DRIFT_DAY - timedelta(days=20 - number)
        loop.write_day(f"gs://transak-i1/predictions/{day}.csv", drifts=number % 2 == 1)
        loop.platform.open(loop.config).apply_model_monitor(loop.config)
        job = loop.monitor(day)
        for method in refused:
            loop.vertex.faults.refuse(method, grpc.StatusCode.UNAVAILABLE, 1_000)
        if refused or not pushes:
            waited = waiting_messages(loop)
            assert loop.tick_messages() == []
            loop.tick_results()
            if refused:
                assert loop.tick_messages() == []
            assert waiting_messages(loop) - waited == len(pushes)
            assert loop.everything_is_acknowledged()
        for method in refused:
            loop.vertex.faults.clear(method)
        assert loop.tick_messages() == [key_of(job)]

        # Nothing comes of whatever is still on its way.
        loop.tick_results()
        assert loop.tick_messages() == []
        assert len(loop.vertex.pipelines.jobs()) == number
        assert loop.has_trained()
        assert loop.everything_is_acknowledged()
        started = [item.key for item in loop.records() if item.kind == OutcomeKind.TRAINING_STARTED]
        assert started.count(key_of(job)) == 1
    assert loop.queue.list_dead_letters(10) == []


def waiting_messages(loop: GcpLoop) -> int:
    waiting = [item for item in loop.records() if item.kind == OutcomeKind.WAITING]
    return sum(item.messages for item in waiting)


def test_what_is_no_drift_of_ours_trains_nothing(loop: GcpLoop) -> None:
    vertex, location = loop.vertex, loop.vertex.location
    loop.platform.open(loop.config).apply_model_monitor(loop.config)
    quiet = loop.monitor(QUIET_DAY)
    [monitor] = vertex.monitoring.monitors()
    lies = [replace(item, distance=0.99) for item in vertex.monitoring.analyses[quiet.name]]
    foreign_model = vertex.models.upload("another-model")
    foreign = types.ModelMonitor(monitor)
    foreign.model_monitoring_target.vertex_model.model = foreign_model.name
    foreign_name = vertex.monitoring.put_monitor(foreign)
    for message in (
        channel_message(location, monitor, quiet),
        log_entry(Push.LOG_ENTRY, location, quiet, lies),
        channel_message(
            location, foreign, _renamed(quiet, f"{foreign_name}/modelMonitoringJobs/7")
        ),
        channel_message(
            location, monitor, _renamed(quiet, quiet.name.replace(PROJECT_NUMBER, "210987654321"))
        ),
    ):
        loop.queue.publish(body(message))

    for _ in range(2):
        assert loop.tick_messages() == []
        loop.tick_results()
    assert loop.everything_is_acknowledged()
    letters = loop.queue.list_dead_letters(10)
    assert sorted(letter.reason for letter in letters) == ["other_monitor", "other_project"]
    not_drift = [item for item in loop.records() if item.kind == OutcomeKind.NOT_DRIFT]
    assert [(item.key, item.messages) for item in not_drift] == [(key_of(quiet), 2)]
    assert vertex.pipelines.jobs() == []


def _renamed(job: types.ModelMonitoringJob, name: str) -> types.ModelMonitoringJob:
    renamed = types.ModelMonitoringJob(job)
    renamed.name = name
    return renamed
