"""Messages of every kind in one queue, handled by a real daemon."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import dagster as dg

from transak_drift.trigger.inbox import OutcomeKind
from transak_drift_tests.end_to_end.running_loop import RunningLoop
from transak_drift_tests.trigger.drift_messages import drift_event, message_body

SECOND_MODEL = {
    "model_name": "transak-i2-train-model",
    "monitoring_job_display_name": "transak_i2_data_drift_monitor",
}


def test_a_mixed_queue_trains_each_drift_event_once_and_loses_nothing(tmp_path: Path) -> None:
    policy = {"retrain_policy": {"maximum_trainings_in_flight": 10}}
    with RunningLoop(tmp_path, policy, {"transak-i2.json": SECOND_MODEL}) as loop:
        second = loop.configs[1]
        bad = {
            loop.queue.publish(b"\xff\xfe no text"): "not_utf8",
            loop.queue.publish(b'{"half": '): "not_json",
            loop.queue.publish(b'{"jsonPayload": []}'): "no_monitoring_job",
            loop.queue.publish(
                message_body(drift_event("foreign", project="else-where"))
            ): "other_project",
            loop.queue.publish(message_body(drift_event("deleted"))): "job_missing",
        }
        loop.message("quiet", description=0.29, type=0.3)
        loop.queue.publish(message_body(drift_event("quiet", {"description": 0.99})))
        loop.queue.publish_many([loop.message("copies")] * 200)
        loop.queue.publish(_year_1(loop.message("odd", description=1.0000000000000002)))
        loop.queue.publish(loop.message("good"))
        # A second model shares the subscription; its job has a name that the first has too.
        loop.queue.publish(loop.message("good", config=second))

        loop.start_daemon()
        second_trainings = dg.RunsFilter(job_name="transak_i2_retrain")
        loop.wait_for(
            "the second model's training",
            lambda: any(run.is_success for run in loop.instance.get_runs(second_trainings)),
        )
        for job in ("copies", "odd", "good"):
            loop.wait_for(f"the training of {job}", lambda job=job: loop.trained(job))
        loop.wait_for("every acknowledgement", lambda: loop.unacknowledged() == 0)

        assert Counter(run.tags["transak_drift/drift_event"] for run in loop.trainings()) == {
            loop.event_key("copies"): 1,
            loop.event_key("odd"): 1,
            loop.event_key("good"): 1,
        }
        [of_second] = loop.instance.get_runs(second_trainings)
        assert of_second.tags["transak_drift/drift_event"] == f"{second.model_monitor_id}/good"
        assert of_second.tags["transak_drift/model"] == "transak-i2-train-model"
        letters = loop.queue.list_dead_letters(100)
        assert {letter.source_message_id: letter.reason for letter in letters} == bad
        assert all(letter.detail for letter in letters)
        kinds = Counter(record.kind for record in loop.records())
        assert kinds[OutcomeKind.TRAINING_REQUESTED] == 3
        assert kinds[OutcomeKind.NOT_DRIFT] == 1
        # Each job is polled as well: a message of a known event is a duplicate.
        assert kinds[OutcomeKind.DRIFT] == 3
        loop.wait_for("a cursor that waits for nothing", loop.nothing_waits)


def _year_1(body: bytes) -> bytes:
    entry = json.loads(body)
    entry["jsonPayload"]["endTime"] = "0001-01-01T00:00:00Z"
    return json.dumps(entry).encode()
