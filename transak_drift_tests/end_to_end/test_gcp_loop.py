"""The whole loop on the gcp platform: drift of a day, however its message comes, trains once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import grpc
import pytest

from transak_drift.defs.keys import (
    BASELINE_DATASET,
    MONITORING_RUN,
    PREPARE_JOB,
    RETRAIN_JOB,
    TRAINED_MODEL,
)
from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.end_to_end.gcp_loop import NAMES, REPORT, GcpLoop
from transak_drift_tests.servers.clients import PLACES
from transak_drift_tests.servers.server import Push

DRIFT_DAY, RECOVERED_DAY = (datetime.now(UTC).date() - timedelta(days=n) for n in (2, 1))
EVERYTHING = (
    *("ListModels", "ListModelMonitors", "GetModelMonitoringJob", "ListModelMonitoringJobs"),
)


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcpLoop]:
    with ExitStack() as stack:
        # The shipped file, and of it no other key than those of one's own places.
        yield GcpLoop(tmp_path, monkeypatch, stack, configuration(vertex=PLACES))


def test_the_loop_closes_with_a_daemon_and_every_message_at_once(loop: GcpLoop) -> None:
    vertex = loop.vertex
    vertex.pushes = tuple(Push)
    # No job ends while the run that started it reads it, however often the sensor does meanwhile:
    # the run never waits, and the report comes from the sensor.
    vertex.monitoring.looks = 1_000_000

    def monitor(day: date) -> None:
        loop.write_rows(f"predictions/{day}", drifts=True)
        loop.run_job("daily_monitoring", day)
        assert loop.newest(REPORT, day) is None
        vertex.monitoring.finish_at_next_look(vertex.monitoring.jobs()[-1].name)

    loop.run_job(PREPARE_JOB)
    monitor(DRIFT_DAY)
    loop.dagster.start_daemon()
    drift = loop.wait_for_report(DRIFT_DAY)
    assert drift["verdict"] == "drift in type"
    loop.dagster.wait_for("finished training", loop.has_trained)
    trained = loop.newest(NAMES.asset(TRAINED_MODEL))
    loop.dagster.wait_for("acknowledgement", loop.everything_is_acknowledged)
    # The training has made the day that drifted the baseline.
    monitor(RECOVERED_DAY)
    assert loop.wait_for_report(RECOVERED_DAY)["verdict"] == "no drift"

    assert trained is not None
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
        dg.AssetCheckKey(REPORT, "type_drift"), limit=10
    )
    states = [record.status.value for record in history]
    assert [state for state in states if state != "PLANNED"] == ["SUCCEEDED", "FAILED"]
    # No call without a deadline.
    assert all(call.deadline_seconds is not None for call in vertex.calls)


def test_any_message_or_none_closes_the_loop_and_an_outage_loses_nothing(loop: GcpLoop) -> None:
    everyone = tuple(Push)
    for number, (pushes, refused) in enumerate(
        [
            *(((push,), ()) for push in Push),
            ((), ()),
            (everyone, EVERYTHING),
            (everyone, ("SearchModelMonitoringStats",)),
        ],
        start=1,
    ):
        loop.vertex.pushes = pushes
        # Each training makes its day the baseline: the next day drifts by being as before.
        day = DRIFT_DAY - timedelta(days=20 - number)
        loop.write_rows(f"predictions/{day}", drifts=number % 2 == 1)
        key = loop.monitor(day)
        for method in refused:
            loop.vertex.faults.refuse(method, grpc.StatusCode.UNAVAILABLE, 1_000)
        waited = waiting_messages(loop)
        for _ in range(2 if refused else not pushes):
            assert loop.tick_messages() == []
            loop.results.tick()
        if refused:
            assert waiting_messages(loop) - waited == len(pushes)
            assert loop.everything_is_acknowledged()
        for method in refused:
            loop.vertex.faults.clear(method)
        assert loop.tick_messages() == [key]

        # Nothing comes of whatever is still on its way.
        loop.results.tick()
        assert loop.tick_messages() == []
        assert len(loop.vertex.pipelines.jobs()) == number
        assert loop.has_trained()
        assert loop.everything_is_acknowledged()
        started = [record.key for record in loop.records(OutcomeKind.TRAINING_STARTED)]
        assert started.count(key) == 1
    assert loop.queue.list_dead_letters(10) == []


def waiting_messages(loop: GcpLoop) -> int:
    return sum(record.messages for record in loop.records(OutcomeKind.WAITING))
