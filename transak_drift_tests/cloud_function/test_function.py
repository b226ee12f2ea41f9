"""The function, served by the functions framework, given real CloudEvents over HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from cloudevents.http import CloudEvent

from transak_drift.config.monitoring_config import parse_config
from transak_drift.drift.drift_event import pipeline_job_id
from transak_drift_tests.cloud_function.conftest import Deployment
from transak_drift_tests.cloud_function.function_server import FunctionServer
from transak_drift_tests.cloud_function.pubsub_events import (
    SUBSCRIPTION,
    event_with_data,
    pubsub_event,
)
from transak_drift_tests.trigger.drift_messages import drift_event, message_body

TAKEN = 200


def expected_id(job: str) -> str:
    return pipeline_job_id("pipeline-train", drift_event(job).key)


def entries_of(function: FunctionServer, event: CloudEvent) -> list[dict[str, Any]]:
    return [entry for entry in function.log() if entry.get("message_id") == event["id"]]


def test_drift_starts_the_training_pipeline(
    function: FunctionServer, deployment: Deployment
) -> None:
    event = pubsub_event(message_body(drift_event("starts")))

    assert function.post(event) == TAKEN

    (job,) = deployment.jobs(expected_id("starts"))
    parameters = dict(job.runtime_config.parameter_values)
    assert parameters["first_day"] == "2026-04-04"
    assert parameters["last_day"] == "2026-05-01"
    assert parameters["transactions"] == "gs://transak-i1/transactions"
    assert parameters["champion_uri"] == "gs://transak-i1/models/1"
    assert parse_config(parameters["monitoring_config"], "test") == deployment.config
    (entry,) = entries_of(function, event)
    assert entry["severity"] == "INFO"
    assert entry["outcome"] == "launched"
    assert entry["drift_event"] == drift_event("starts").key
    assert entry["features"] == {"description": 0.6}
    assert entry["pipeline_job"].endswith(expected_id("starts"))


def test_an_event_in_structured_mode_is_the_same_event(
    function: FunctionServer, deployment: Deployment
) -> None:
    event = pubsub_event(message_body(drift_event("structured")))

    assert function.post(event, structured=True) == TAKEN
    assert function.post(event) == TAKEN

    assert len(deployment.jobs(expected_id("structured"))) == 1
    assert [entry["outcome"] for entry in entries_of(function, event)] == ["launched", "adopted"]


def test_many_messages_of_one_drift_event_start_one_pipeline(
    function: FunctionServer, deployment: Deployment
) -> None:
    before = len(deployment.jobs())
    bodies = [
        message_body(drift_event("many", {"description": 0.6})),
        message_body(drift_event("many", {"type": 0.5})),
    ]
    events = [pubsub_event(body) for body in bodies * 5]

    with ThreadPoolExecutor(max_workers=5) as pool:
        answers = list(pool.map(function.post, events))

    assert answers == [TAKEN] * len(events)
    assert len(deployment.jobs(expected_id("many"))) == 1
    assert len(deployment.jobs()) == before + 1
    outcomes = [entry["outcome"] for event in events for entry in entries_of(function, event)]
    assert sorted(outcomes) == ["adopted"] * 9 + ["launched"]


def test_a_value_within_its_threshold_is_no_drift(
    function: FunctionServer, deployment: Deployment
) -> None:
    event = pubsub_event(message_body(drift_event("within", {"description": 0.3, "type": 0.1})))

    assert function.post(event) == TAKEN

    assert deployment.jobs(expected_id("within")) == []
    assert not deployment.is_dead_letter(event["id"])
    (entry,) = entries_of(function, event)
    assert (entry["severity"], entry["outcome"]) == ("INFO", "not_drift")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b'{"jsonPayload": []}', "wrong_shape"),
        (b"x" * (1024 * 1024 + 1), "too_large"),
        (
            message_body(drift_event("foreign")).replace(b"af-finanzen/", b"elsewhere/"),
            "other_project",
        ),
        (message_body(drift_event("unknown", {"colour": 0.9})), "unknown_feature"),
    ],
    ids=["empty", "no text", "wrong shape", "too large", "other project", "unknown feature"],
)
def test_a_rejected_message_is_taken_and_kept_with_its_reason(
    function: FunctionServer, deployment: Deployment, body: bytes, reason: str
) -> None:
    before = len(deployment.jobs())
    event = pubsub_event(body, attributes={"logging.googleapis.com/timestamp": "2026-05-02"})

    assert function.post(event) == TAKEN

    letter = deployment.dead_letter(event["id"])
    assert letter.reason == reason
    assert letter.detail
    assert letter.message.data == body
    assert letter.message.attributes["source_subscription"] == SUBSCRIPTION
    assert letter.message.attributes["logging.googleapis.com/timestamp"] == "2026-05-02"
    assert len(deployment.jobs()) == before
    (entry,) = entries_of(function, event)
    assert (entry["severity"], entry["outcome"]) == ("WARNING", "dead_lettered")
    assert entry["reason"] == reason


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            pubsub_event(message_body(drift_event("topic")), topic="projects/evil/topics/t"),
            "source is",
        ),
        (event_with_data({"message": {}}, event_id="u1", event_type="a.b"), "type is 'a.b'"),
        (event_with_data({"message": {"data": "!"}}, event_id="u2"), "data.message.data"),
        (event_with_data({"message": {"messageId": 5}}, event_id="u3"), "data.message.messageId"),
        (event_with_data([1, 2], event_id="u4"), "data: "),
    ],
    ids=["another topic", "another type", "no base64", "wrong type of id", "no object"],
)
def test_an_event_without_a_message_of_ours_is_kept_whole(
    function: FunctionServer, deployment: Deployment, event: CloudEvent, told: str
) -> None:
    before = len(deployment.jobs())

    assert function.post(event) == TAKEN

    letter = deployment.dead_letter(event["id"])
    assert letter.reason == "unexpected_event"
    assert told in letter.detail
    assert json.loads(letter.message.data) == event.data
    assert len(deployment.jobs()) == before


def test_a_failure_that_passes_by_itself_is_not_even_seen(
    function: FunctionServer, deployment: Deployment
) -> None:
    deployment.vertex.faults.refuse("CreatePipelineJob", grpc.StatusCode.UNAVAILABLE, 2)
    event = pubsub_event(message_body(drift_event("unavailable")))

    assert function.post(event) == TAKEN

    assert deployment.vertex.faults.left("CreatePipelineJob") == 0
    assert len(deployment.jobs(expected_id("unavailable"))) == 1


def test_a_failure_that_may_pass_asks_for_another_delivery(
    function: FunctionServer, deployment: Deployment
) -> None:
    deployment.vertex.faults.refuse("CreatePipelineJob", grpc.StatusCode.INTERNAL, 1)
    event = pubsub_event(message_body(drift_event("internal")))

    assert function.post(event) == 500
    assert deployment.jobs(expected_id("internal")) == []
    assert function.post(event) == TAKEN

    assert len(deployment.jobs(expected_id("internal"))) == 1
    assert not deployment.is_dead_letter(event["id"])
    failed, launched = entries_of(function, event)
    assert failed["severity"] == "ERROR"
    assert "will be delivered again" in failed["message"]
    assert launched["outcome"] == "launched"


def test_a_failure_that_needs_a_person_is_kept_and_trains_when_it_is_replayed(
    function: FunctionServer, deployment: Deployment
) -> None:
    deployment.vertex.faults.refuse(
        "CreatePipelineJob", grpc.StatusCode.PERMISSION_DENIED, 1, "Permission denied"
    )
    body = message_body(drift_event("denied"))
    event = pubsub_event(body)

    assert function.post(event) == TAKEN

    letter = deployment.dead_letter(event["id"])
    assert letter.reason == "launch_refused"
    assert "aiplatform.pipelineJobs.create" in letter.detail
    assert deployment.jobs(expected_id("denied")) == []
    assert entries_of(function, event)[0]["severity"] == "ERROR"

    # What Eventarc does with a message that `transak-drift dead-letters replay` publishes again.
    (replayed,) = deployment.queue.replay_dead_letters(1_000, [event["id"]])
    (message,) = deployment.queue.pull(10, 1_000_000, 5.0)
    deployment.queue.acknowledge([message.ack_id])
    assert (message.message_id, message.data) == (replayed, body)
    assert function.post(pubsub_event(message.data, message_id=message.message_id)) == TAKEN
    assert len(deployment.jobs(expected_id("denied"))) == 1


def test_a_message_that_eventarc_would_drop_is_kept_first(
    function: FunctionServer, deployment: Deployment
) -> None:
    deployment.vertex.faults.refuse("CreatePipelineJob", grpc.StatusCode.INTERNAL, 1)
    event = pubsub_event(message_body(drift_event("old")), publish_time="2026-05-02T00:10:00.123Z")

    assert function.post(event) == TAKEN

    assert deployment.dead_letter(event["id"]).reason == "launch_kept_failing"
    assert deployment.jobs(expected_id("old")) == []
