"""Single ticks of the drift message sensor, on a real instance and the embedded server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.defs.drift_event_log import read_records, write_records
from transak_drift.defs.drift_message_sensor import (
    TickBounds,
    build_drift_message_sensor,
    run_request,
    training_history,
)
from transak_drift.defs.gcp_resources import gcp_platform_resource
from transak_drift.defs.keys import (
    BASELINE_DATASET,
    DRIFT_EVENT,
    DRIFT_EVENT_TAG,
    FEATURE_PAGE_TAG,
    MONITOR_PAGE_TAG,
    REPORT_TAG,
    RETRAIN_JOB,
    TRAINED_MODEL,
    TRAINED_UNTIL_METADATA,
    ModelNames,
)
from transak_drift.defs.local_resources import LocalPlatformResource, LocalTriggerQueueResource
from transak_drift.defs.training import retrain_job
from transak_drift.drift.monitoring_job import MonitoringJob
from transak_drift.local.platform import LocalPlatform
from transak_drift.platform import PlatformError, TemporaryPlatformError
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.settings import Settings
from transak_drift.trigger.decision import TrainingHistory
from transak_drift.trigger.inbox import OutcomeKind, TriggerRecord
from transak_drift_tests.config.configurations import configuration
from transak_drift_tests.defs.sensor_ticks import SensorTicks, sentence
from transak_drift_tests.trigger.drift_messages import MAY_1, drift_event, store_job

NAMES = ModelNames()
CONSOLE = "https://console.cloud.google.com/vertex-ai/model-monitoring"
CONFIG = configuration()
MONITOR = CONFIG.model_monitor_id
TOPICS = count()


class Ticks(SensorTicks):
    """The sensor with its memory from tick to tick, its platform and a topic of its own."""

    def __init__(
        self,
        directory: Path,
        instance: dg.DagsterInstance,
        queue: LocalTriggerQueueResource,
        bounds: TickBounds | None = None,
        **changes: Any,
    ) -> None:
        self.config = configuration(trigger_topic=f"ps-{next(TOPICS)}", **changes)
        self.home = directory / "home"
        self.queue = queue
        platform = LocalPlatformResource(
            trigger_queue=queue, state_directory=str(self.home), seed=7, rows_per_day=100
        )
        jobs = [retrain_job(self.config)]
        sensor = build_drift_message_sensor([self.config], jobs, 1, bounds)
        super().__init__(instance, sensor, {"trigger_queue": queue, "platform": platform})

    def requested(self) -> list[str]:
        """Tick once; return the run keys that it asks for."""
        return [str(request.run_key) for request in self.tick().run_requests or []]

    def message(self, job: str, **distances: float) -> bytes:
        """Store a job that found these distances; return the message that names it."""
        return store_job(self.home, self.config, job, distances or None)

    def find_by_polling(self, job: str, minutes_ago: float = 0) -> None:
        """Record drift as the sensor of monitoring results does."""
        record = TriggerRecord(
            kind=OutcomeKind.DRIFT,
            key=f"{MONITOR}/{job}",
            detail="found",
            at=datetime.now(UTC) - timedelta(minutes=minutes_ago),
            event=drift_event(job),
        )
        write_records(self.instance, NAMES.asset(DRIFT_EVENT), [record])

    def publish(self, *bodies: bytes) -> None:
        with self.queue.open(self.config) as queue:
            queue.publish_many(bodies)

    def dead_letters(self) -> list[str]:
        with self.queue.open(self.config) as queue:
            return sorted(letter.reason for letter in queue.list_dead_letters(100))

    def launch(self, request: dg.RunRequest) -> None:
        """Do what the daemon does with a request."""
        event = request.tags[DRIFT_EVENT_TAG]
        add_run(self.instance, event, dg.DagsterRunStatus.STARTED)

    def records(self) -> list[TriggerRecord]:
        found = read_records(self.instance, NAMES.asset(DRIFT_EVENT))
        return [record for _, records in found for record in records]

    def steps(self, job: str) -> list[OutcomeKind]:
        """The steps that are recorded of a drift event, in order."""
        return [record.kind for record in self.records() if record.key == f"{MONITOR}/{job}"]


def add_run(instance: dg.DagsterInstance, event: str, status: dg.DagsterRunStatus) -> None:
    tags, run_id = {DRIFT_EVENT_TAG: event}, f"run-of-{event}"
    run = dg.DagsterRun(job_name=RETRAIN_JOB, run_id=run_id, tags=tags, status=status)
    instance.add_run(run)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> LocalTriggerQueueResource:
    return LocalTriggerQueueResource(state_directory=str(tmp_path_factory.mktemp("pubsub")))


@pytest.fixture
def ticks(tmp_path: Path, instance: dg.DagsterInstance, queue: LocalTriggerQueueResource) -> Ticks:
    return Ticks(tmp_path, instance, queue)


def test_a_drift_event_is_recorded_acknowledged_and_requested_in_one_tick(ticks: Ticks) -> None:
    ticks.publish(ticks.message("job-1"))
    [request] = ticks.tick().run_requests or []
    assert request.run_key == f"{MONITOR}/job-1"
    assert request.run_config["ops"]["train"]["config"] == {
        "drift_event": request.run_key,
        "window_end": "2026-05-02T00:00:00+00:00",
    }
    assert request.tags["dagster/max_runtime"] == str(6 * 3600), "maximum_training_minutes, in s"
    assert request.tags[REPORT_TAG] == "/assets/drift_report?view=partitions&partition=2026-05-01"
    assert not [name for name in request.tags if name in (MONITOR_PAGE_TAG, FEATURE_PAGE_TAG)]
    assert ticks.steps("job-1") == [OutcomeKind.DRIFT, OutcomeKind.TRAINING_REQUESTED]

    # No run came of it, as when the daemon died: the same request is made again, nothing recorded.
    assert ticks.requested() == [request.run_key]
    ticks.launch(request)
    assert ticks.requested() == []
    assert ticks.steps("job-1")[2:] == [OutcomeKind.TRAINING_STARTED]
    assert sentence(ticks.tick()) == "0 messages"


def test_drift_that_polling_found_trains_while_pubsub_is_out_and_not_again_with_its_message(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(resource: LocalTriggerQueueResource, queue: TriggerQueue) -> None:
        raise TemporaryPlatformError("Pub/Sub did not answer in time")

    ticks.find_by_polling("job-1")
    with monkeypatch.context() as patch:
        patch.setattr(LocalTriggerQueueResource, "prepare", prepare)
        [request] = ticks.tick().run_requests or []
    ticks.launch(request)
    ticks.publish(ticks.message("job-1"))
    assert ticks.requested() == []
    assert OutcomeKind.DUPLICATE in ticks.steps("job-1")


def test_on_google_cloud_a_request_links_to_the_console() -> None:
    event = drift_event("job-1", {"description": 0.4, "type": 0.6})
    gcp = gcp_platform_resource(Settings(platform="gcp"))
    tags = run_request(event, CONFIG, gcp).tags
    monitor = f"{CONSOLE}/locations/{CONFIG.location}/model-monitors/{MONITOR}"
    assert tags[MONITOR_PAGE_TAG] == f"{monitor}?project={CONFIG.project_id}"
    assert tags[FEATURE_PAGE_TAG] == (
        f"{monitor}/model-monitoring-jobs/job-1/feature-drift"
        f"?project={CONFIG.project_id}&featureName=type"
    )


def test_a_tick_says_in_one_sentence_what_it_did_and_leaves_the_rest_to_the_next(
    tmp_path: Path, instance: dg.DagsterInstance, queue: LocalTriggerQueueResource
) -> None:
    ticks = Ticks(tmp_path, instance, queue, TickBounds(messages=4))
    ticks.publish(b"no json", ticks.message("below", description=0.3), b'{"subject": "", ', b"{}")
    ticks.publish(b'{"subject": "Vertex AI Model Monitoring Job started", "details": {}}')
    assert sentence(ticks.tick()) == (
        "4 messages: 1 not drift, 3 dead-lettered (no_monitoring_job, not_json)"
    )
    assert ticks.dead_letters() == ["no_monitoring_job", "not_json", "not_json"]
    assert sentence(ticks.tick()) == "1 message: 1 notice"
    assert len(ticks.dead_letters()) == 3
    assert sentence(ticks.tick()) == "0 messages"


def test_a_second_event_is_held_while_a_training_is_in_flight_also_without_its_records(
    ticks: Ticks,
) -> None:
    ticks.publish(ticks.message("job-1"))
    [request] = ticks.tick().run_requests or []
    ticks.launch(request)
    ticks.publish(ticks.message("job-2"))
    assert "1 held" in sentence(ticks.tick())
    held = next(record for record in ticks.records() if record.kind == OutcomeKind.HELD)
    assert (held.key, held.detail) == (f"{MONITOR}/job-2", "1 training(s) in flight")
    assert held.event == drift_event("job-2")
    ticks.instance.wipe_assets([NAMES.asset(DRIFT_EVENT)])
    ticks.instance.delete_run(f"run-of-{MONITOR}/job-1")
    assert ticks.requested() == [f"{MONITOR}/job-2"]


def test_a_record_that_a_database_shows_late_is_not_overlooked(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PostgreSQL numbers a row as it is written and shows it once its transaction has ended.
    ticks.find_by_polling("begun-first")
    ticks.find_by_polling("ended-first")
    fetch = dg.DagsterInstance.fetch_observations

    def fetch_without_first(*args: Any, **kwargs: Any) -> dg.EventRecordsResult:
        result = fetch(*args, **kwargs)
        shown = [item for item in result.records if item.storage_id != first]
        return dg.EventRecordsResult(shown, result.cursor, result.has_more)

    first = (
        ticks.instance.fetch_observations(NAMES.asset(DRIFT_EVENT), limit=2).records[1].storage_id
    )
    with monkeypatch.context() as hidden:
        hidden.setattr(dg.DagsterInstance, "fetch_observations", fetch_without_first)
        [request] = ticks.tick().run_requests or []
        ticks.launch(request)
        assert "1 training started" in sentence(ticks.tick())
    ticks.instance.delete_run(f"run-of-{MONITOR}/ended-first")
    assert ticks.requested() == [f"{MONITOR}/begun-first"]


def test_a_cursor_of_version_0_1_is_read_once(ticks: Ticks) -> None:
    former = {
        "project": "123456789012",
        "location": CONFIG.location,
        "model_monitor_id": MONITOR,
        "monitoring_job_id": "job-0",
        "objective": "RAW_FEATURE_DRIFT",
        "anomalies": [{"feature": "type", "deviation": 0.5, "threshold": 0.3}],
        "window_start": None,
        "window_end": "2026-05-02T00:00:00Z",
        "log_entry_id": "x",
    }
    poison = {**former, "monitoring_job_id": "poison", "window_end": "0001-01-01T00:00:00Z"}
    held = {"reason": "cooldown", "since": "2026-05-02T00:10:00Z"}
    ticks.cursor = json.dumps(
        {
            "requested": {},
            "held": {
                f"{MONITOR}/poison": {"event": poison, **held},
                f"{MONITOR}/job-0": {"event": former, **held},
            },
            "recorded": {"1": "ack"},
            "superseded": [f"{MONITOR}/old"],
        }
    )
    assert ticks.requested() == [f"{MONITOR}/job-0"]
    ticks.publish(ticks.message("old"))
    assert ticks.requested() == [f"{MONITOR}/job-0"]
    assert ticks.steps("old") == [OutcomeKind.SUPERSEDED, OutcomeKind.DUPLICATE]
    assert ticks.steps("poison") == [OutcomeKind.DRIFT, OutcomeKind.FAILED, OutcomeKind.HELD]
    assert "requested" not in json.loads(ticks.cursor or "")


def test_what_cannot_be_read_waits_visibly_and_goes_on_by_itself(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> MonitoringJob:
        raise ZeroDivisionError("a fault of one job")

    ticks.publish(ticks.message("job-1"))
    with monkeypatch.context() as patch:
        patch.setattr(LocalPlatform, "read_monitoring_job", read)
        for _ in range(2):
            said = sentence(ticks.tick())
            assert "1 waiting for their monitoring job" in said and "a fault of one job" in said
    assert ticks.dead_letters() == []
    assert ticks.requested() == [f"{MONITOR}/job-1"]


def test_drift_of_which_no_message_came_fails_the_check_as_a_warning(
    tmp_path: Path, instance: dg.DagsterInstance, queue: LocalTriggerQueueResource
) -> None:
    ticks = Ticks(tmp_path, instance, queue, message_grace_minutes=60)
    ticks.find_by_polling("late", minutes_ago=61)
    ticks.find_by_polling("fresh", minutes_ago=1)
    [check] = ticks.tick().asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "from log to Pub/Sub is broken: of 1 drift event(s)" in (check.description or "")
    assert ticks.tick().asset_events == [], "told once"
    ticks.publish(ticks.message("late"))
    [check] = ticks.tick().asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert check.passed


def test_dead_letters_that_cannot_be_forwarded_hold_up_nothing_and_are_not_lost(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(queue: TriggerQueue, letters: object, source: object = None) -> list[str]:
        raise PlatformError("grant roles/pubsub.publisher")

    ticks.publish(b"no json", ticks.message("job-1"))
    with monkeypatch.context() as patch:
        patch.setattr(TriggerQueue, "publish_dead_letters", publish)
        result = ticks.tick()
    assert [request.run_key for request in result.run_requests or []] == [f"{MONITOR}/job-1"]
    assert [record.kind for record in ticks.records()] == [
        OutcomeKind.DRIFT,
        OutcomeKind.TRAINING_REQUESTED,
    ]
    assert ticks.dead_letters() == []


def test_the_queue_is_the_one_the_user_names(
    tmp_path: Path, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks.publish(ticks.message("job-1"))
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", ticks.queue.endpoint())
    unused = tmp_path / "pubsub"
    ticks.resources["trigger_queue"] = LocalTriggerQueueResource(state_directory=str(unused))
    assert ticks.requested() == [f"{MONITOR}/job-1"]
    assert not unused.exists()


def test_a_run_is_in_flight_until_it_has_ended_also_while_it_is_cancelled(
    instance: dg.DagsterInstance,
) -> None:
    # A queued run needs a daemon's origin to be stored.
    statuses = set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}
    found = set()
    for status in statuses:
        before = training_history(instance, NAMES, []).in_flight
        add_run(instance, status.name, status)
        history = training_history(instance, NAMES, [status.name, "another"])
        if history.in_flight > before:
            found.add(status.name)
        assert history.runs == {status.name: status != dg.DagsterRunStatus.NOT_STARTED}
    assert found == {"NOT_STARTED", "STARTING", "STARTED", "CANCELING"}


def test_the_runs_of_many_events_are_found(instance: dg.DagsterInstance) -> None:
    events = [f"monitor/job-{number}" for number in range(700)]
    for event in events[::100]:
        add_run(instance, event, dg.DagsterRunStatus.SUCCESS)
    runs = training_history(instance, NAMES, events).runs
    assert runs == dict.fromkeys(events[::100], True)


def test_the_baseline_and_the_newest_model_say_how_far_they_reach(
    instance: dg.DagsterInstance,
) -> None:
    assert training_history(instance, NAMES, []) == TrainingHistory()
    ends = {BASELINE_DATASET: MAY_1, TRAINED_MODEL: MAY_1 + timedelta(days=3)}
    for name, end in ends.items():
        metadata = {TRAINED_UNTIL_METADATA: dg.MetadataValue.timestamp(end)}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(NAMES.asset(name), metadata=metadata)
        )
    history = training_history(instance, NAMES, [])
    assert (history.baseline_until, history.evaluated_until) == tuple(ends.values())
