"""Single ticks of the drift message sensor, on a real instance and the embedded server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transak_drift.config.monitoring_config import MonitoringConfig, load_config
from transak_drift.defs.drift_message_sensor import (
    TickBounds,
    build_drift_message_sensor,
    run_request,
)
from transak_drift.defs.jobs import build_retrain_job
from transak_drift.defs.local_resources import LocalTriggerQueueResource
from transak_drift.defs.names import (
    DRIFT_EVENT_TAG,
    FEATURE_PAGE_TAG,
    MONITOR_PAGE_TAG,
    REPORT_TAG,
    RETRAIN_JOB,
    ModelNames,
)
from transak_drift.drift.drift_event import DRIFT_OBJECTIVE, DriftEvent, FeatureAnomaly
from transak_drift.pubsub.trigger_queue import TriggerQueue
from transak_drift.trigger.log_entry import anomaly_log_entry
from transak_drift.trigger.message_assessment import Drift, assess_message
from transak_drift.trigger.trigger_state import TriggerState, UnreadableCursorError

NAMES = ModelNames()
CONSOLE = "https://console.cloud.google.com/vertex-ai/model-monitoring"

CONFIG = load_config(Path(__file__).parents[2] / "monitoring_config.json")


class Ticks:
    """The sensor with its memory from tick to tick."""

    def __init__(
        self, directory: Path, instance: dg.DagsterInstance, bounds: TickBounds | None = None
    ) -> None:
        self.instance = instance
        self.resource = LocalTriggerQueueResource(state_directory=str(directory / "pubsub"))
        self.sensor = build_drift_message_sensor([CONFIG], [build_retrain_job(CONFIG)], 1, bounds)
        self.cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"trigger_queue": self.resource},
            sensor_name=self.sensor.name,
        )
        result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def state(self) -> TriggerState:
        return TriggerState.from_cursor(self.cursor)

    def publish(self, *bodies: bytes) -> None:
        with self.resource.open(CONFIG) as queue:
            queue.publish_many(bodies)

    def dead_letters(self) -> list[str]:
        with self.resource.open(CONFIG) as queue:
            return sorted(letter.reason for letter in queue.list_dead_letters(100))

    def launch(self, request: dg.RunRequest) -> None:
        """Do what the daemon does with a request."""
        self.instance.add_run(
            dg.DagsterRun(
                job_name=RETRAIN_JOB,
                run_id=f"run-of-{request.tags[DRIFT_EVENT_TAG].rpartition('/')[2]}",
                tags=dict(request.tags),
                status=dg.DagsterRunStatus.STARTED,
            )
        )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def message(job_id: str, config: MonitoringConfig = CONFIG, distance: float = 0.61) -> bytes:
    end = datetime(2026, 5, 5, tzinfo=UTC)
    event = DriftEvent(
        project=config.project_id,
        location=config.location,
        model_monitor_id=config.model_monitor_id,
        monitoring_job_id=job_id,
        objective=DRIFT_OBJECTIVE,
        anomalies=(FeatureAnomaly("description", distance, 0.3),),
        window_start=end - timedelta(days=1),
        window_end=end,
        log_entry_id="entry",
    )
    entry = anomaly_log_entry(event, project_id=config.project_id, receive_time=end)
    return json.dumps(entry).encode()


def sentence(result: dg.SensorResult) -> str:
    assert isinstance(result.skip_reason, dg.SkipReason)
    return str(result.skip_reason.skip_message)


def outcomes(result: dg.SensorResult) -> list[dict[str, Any]]:
    events = [event for event in result.asset_events if isinstance(event, dg.AssetObservation)]
    assert {event.asset_key for event in events} <= {NAMES.drift_event}
    return [{name: value.value for name, value in event.metadata.items()} for event in events]


def test_a_message_is_acknowledged_only_once_its_run_is_in_storage(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance)
    ticks.publish(message("job-1"))

    [request] = ticks.tick().run_requests or []
    assert request.run_key == f"{CONFIG.model_monitor_id}/job-1"
    assert request.run_config["ops"]["train"]["config"] == {
        "drift_event": request.run_key,
        "window_end": "2026-05-05T00:00:00+00:00",
    }
    assert float(request.tags["dagster/max_runtime"]) > 0
    assert request.tags[REPORT_TAG] == "/assets/drift_report?view=partitions&partition=2026-05-04"
    assert not [name for name in request.tags if name in (MONITOR_PAGE_TAG, FEATURE_PAGE_TAG)]
    assert ticks.state().waiting_messages == 1

    # No run came of it, as when the daemon died: the same request is made again.
    [again] = ticks.tick().run_requests or []
    assert again.run_key == request.run_key
    assert ticks.state().waiting_messages == 1

    ticks.launch(again)
    settled = ticks.tick()
    assert not settled.run_requests
    assert "1 acknowledged" in sentence(settled)
    assert ticks.state() == TriggerState()


def test_on_google_cloud_a_request_links_to_the_console() -> None:
    assessed = assess_message(message("job-1", distance=0.4), CONFIG)
    assert isinstance(assessed, Drift)
    event = replace(
        assessed.event,
        project="123",
        anomalies=(*assessed.event.anomalies, FeatureAnomaly("type", 0.5, 0.3)),
    )
    tags = run_request(event, CONFIG, on_google_cloud=True).tags
    monitor = f"{CONSOLE}/locations/{CONFIG.location}/model-monitors/{CONFIG.model_monitor_id}"
    assert tags[MONITOR_PAGE_TAG] == f"{monitor}?project={CONFIG.project_id}"
    # Of the features that which drifted most; the console takes the id of the project.
    assert tags[FEATURE_PAGE_TAG] == (
        f"{monitor}/model-monitoring-jobs/job-1/feature-drift"
        f"?project={CONFIG.project_id}&featureName=type"
    )
    # Dagster takes them as they are.
    run = dg.DagsterRun(job_name=RETRAIN_JOB, run_id="run", tags=dict(tags))
    assert run.tags[FEATURE_PAGE_TAG] == tags[FEATURE_PAGE_TAG]


def test_a_tick_tells_in_one_sentence_what_it_did(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance)
    ticks.publish(b"no json", message("below", distance=0.3))
    result = ticks.tick()
    assert sentence(result) == "2 messages: 1 not drift, 1 dead-lettered (not_json)"
    assert {outcome["outcome"] for outcome in outcomes(result)} == {"not drift", "dead-lettered"}
    assert ticks.dead_letters() == ["not_json"]
    assert "nothing to do" not in sentence(ticks.tick()), "the record is acknowledged now"
    assert "nothing to do" in sentence(ticks.tick())


def test_a_burst_drains_over_ticks_and_a_poison_message_stops_nobody(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance, TickBounds(messages=40))
    ticks.publish(b"\xff", *[message("burst")] * 100)
    requested = []
    for _ in range(5):
        for request in ticks.tick().run_requests or []:
            requested.append(request.run_key)
            if len(requested) == 1:
                ticks.launch(request)
    assert set(requested) == {f"{CONFIG.model_monitor_id}/burst"}
    assert ticks.dead_letters() == ["not_utf8"]
    assert "nothing to do" in sentence(ticks.tick())


def test_no_more_is_pulled_while_too_much_waits(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance, TickBounds(messages=10, waiting_messages=15))
    ticks.publish(*[message("burst")] * 40)
    waiting = []
    for _ in range(3):
        ticks.tick()
        waiting.append(ticks.state().waiting_messages)
    assert waiting == [10, 15, 15]


def test_a_second_event_is_held_while_a_training_is_in_flight(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance)
    ticks.publish(message("job-1"))
    [request] = ticks.tick().run_requests or []
    ticks.launch(request)
    ticks.publish(message("job-2"))
    held = ticks.tick()
    assert not held.run_requests
    [outcome] = outcomes(held)
    assert (outcome["outcome"], outcome["detail"]) == ("held", "1 training(s) in flight")

    instance.delete_run("run-of-job-1")
    [released] = ticks.tick().run_requests or []
    assert released.run_key == f"{CONFIG.model_monitor_id}/job-2"


def test_a_cursor_of_something_else_is_told_and_nothing_is_pulled(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(tmp_path, instance)
    ticks.publish(message("job-1"))
    ticks.cursor = '{"of": "something else"}'
    with pytest.raises(UnreadableCursorError, match="something else"):
        ticks.tick()
    ticks.cursor = None
    assert len(ticks.tick().run_requests or []) == 1


def test_the_queue_is_the_one_the_user_names(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LocalTriggerQueueResource(state_directory=str(tmp_path / "own"))
    with own.open(CONFIG) as queue:
        assert isinstance(queue, TriggerQueue)
        queue.publish(message("job-1"))
    ticks = Ticks(tmp_path / "unused", instance)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", own.endpoint())
    assert len(ticks.tick().run_requests or []) == 1
    assert not (tmp_path / "unused").exists()
